//! What a registry's host tells: region, partition, FIPS, private or public; and whom to ask then.

use super::super::IssuerError;
use super::super::endpoint::Endpoint;

/// Domains of AWS's partitions, as registries have them: standard and GovCloud, China, the isolated ones, European Sovereign
/// Cloud. A host that ends otherwise is not AWS's, and its region must be set.
const SUFFIXES: [&str; 7] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
];

/// Dual-stack registries, with the domain of the dual-stack interfaces of the same partition.
const DUAL_STACK: [(&str, &str); 2] =
    [("on.aws", "api.aws"), ("on.amazonwebservices.com.cn", "api.amazonwebservices.com.cn")];

/// The public registry has one home.
const PUBLIC_REGION: &str = "us-east-1";

/// A registry of Amazon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registry {
    /// Region that the request is signed for.
    pub(super) region: String,
    is_public: bool,
    is_fips: bool,
    /// Domain of the service's interface, behind `ecr.REGION` or `api.ecr.REGION`.
    domain: String,
    is_dual_stack: bool,
}

impl Registry {
    /// Understands a host; `region` comes before what the host says. A host that is not Amazon's, such as a mirror's, needs it.
    pub(super) fn of(host: &str, region: Option<&str>) -> Result<Self, IssuerError> {
        let host = host.to_ascii_lowercase();
        if matches!(host.as_str(), "public.ecr.aws" | "ecr-public.aws.com") {
            let region = region.unwrap_or(PUBLIC_REGION).to_owned();
            let domain = "amazonaws.com".to_owned();
            return Ok(Self { region, is_public: true, is_fips: false, domain, is_dual_stack: false });
        }
        let mut registry = parse_private(&host);
        if let Some(region) = region {
            let elsewhere = || Self {
                region: String::new(),
                is_public: false,
                is_fips: false,
                domain: domain_of(region).to_owned(),
                is_dual_stack: false,
            };
            registry = Some(Self { region: region.to_owned(), ..registry.unwrap_or_else(elsewhere) });
        }
        let names = "`region`, since the registry's name does not tell it".to_owned();
        registry.ok_or(IssuerError::MissingSettings { issuer: super::NAME, names })
    }

    /// Where ECR's interface is.
    pub(super) fn endpoint(&self) -> Result<Endpoint, IssuerError> {
        let Self { region, domain, .. } = self;
        let host = match (self.is_public, self.is_dual_stack, self.is_fips) {
            (true, ..) => format!("api.ecr-public.{PUBLIC_REGION}.{domain}"),
            (false, false, false) => format!("api.ecr.{region}.{domain}"),
            (false, true, false) => format!("ecr.{region}.{domain}"),
            (false, _, true) => format!("ecr-fips.{region}.{domain}"),
        };
        https(&host)
    }

    /// Where the Security Token Service of the same region is.
    pub(super) fn sts_endpoint(&self) -> Result<Endpoint, IssuerError> {
        let name = if self.is_fips { "sts-fips" } else { "sts" };
        https(&format!("{name}.{}.{}", self.region, self.domain))
    }

    /// The name that the request is signed for.
    pub(super) fn service(&self) -> &'static str {
        if self.is_public { "ecr-public" } else { "ecr" }
    }

    /// The operation.
    pub(super) fn target(&self) -> &'static str {
        if self.is_public {
            "SpencerFrontendService.GetAuthorizationToken"
        } else {
            "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
        }
    }
}

/// `ACCOUNT.dkr.ecr[-fips].REGION.SUFFIX`, or `ACCOUNT.dkr-ecr[-fips].REGION.on.aws`.
fn parse_private(host: &str) -> Option<Registry> {
    let (account, rest) = host.split_once('.')?;
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kinds = [
        ("dkr.ecr.", false, false),
        ("dkr.ecr-fips.", true, false),
        ("dkr-ecr.", false, true),
        ("dkr-ecr-fips.", true, true),
    ];
    kinds.into_iter().find_map(|(prefix, is_fips, is_dual_stack)| {
        let (region, suffix) = rest.strip_prefix(prefix)?.split_once('.')?;
        let domain = if is_dual_stack {
            DUAL_STACK.iter().find(|(known, _)| *known == suffix)?.1
        } else {
            SUFFIXES.into_iter().find(|known| *known == suffix)?
        };
        let (region, domain) = (region.to_owned(), domain.to_owned());
        Some(Registry { region, is_public: false, is_fips, domain, is_dual_stack })
    })
}

/// The domain of a region's partition, by the region's name.
fn domain_of(region: &str) -> &'static str {
    let prefixes = [
        ("cn-", "amazonaws.com.cn"),
        ("eusc-", "amazonaws.eu"),
        ("us-iso-", "c2s.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("eu-isoe-", "cloud.adc-e.uk"),
        ("us-isof-", "csp.hci.ic.gov"),
    ];
    prefixes.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("amazonaws.com", |(_, domain)| domain)
}

fn https(host: &str) -> Result<Endpoint, IssuerError> {
    Endpoint::parse(&format!("https://{host}"))
        .map_err(|reason| IssuerError::Setting { name: "region", reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_tells_whom_to_ask() {
        for (host, region, api, sts, service) in [
            (
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
                "eu-west-1",
                "api.ecr.eu-west-1.amazonaws.com",
                "sts.eu-west-1.amazonaws.com",
                "ecr",
            ),
            (
                "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                "us-gov-west-1",
                "ecr-fips.us-gov-west-1.amazonaws.com",
                "sts-fips.us-gov-west-1.amazonaws.com",
                "ecr",
            ),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
                "cn-north-1",
                "api.ecr.cn-north-1.amazonaws.com.cn",
                "sts.cn-north-1.amazonaws.com.cn",
                "ecr",
            ),
            (
                "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov",
                "us-iso-east-1",
                "api.ecr.us-iso-east-1.c2s.ic.gov",
                "sts.us-iso-east-1.c2s.ic.gov",
                "ecr",
            ),
            (
                "123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
                "us-isob-east-1",
                "api.ecr.us-isob-east-1.sc2s.sgov.gov",
                "sts.us-isob-east-1.sc2s.sgov.gov",
                "ecr",
            ),
            (
                "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
                "eusc-de-east-1",
                "api.ecr.eusc-de-east-1.amazonaws.eu",
                "sts.eusc-de-east-1.amazonaws.eu",
                "ecr",
            ),
            (
                "123456789012.dkr-ecr.us-west-2.on.aws",
                "us-west-2",
                "ecr.us-west-2.api.aws",
                "sts.us-west-2.api.aws",
                "ecr",
            ),
            (
                "123456789012.dkr-ecr-fips.us-west-2.on.aws",
                "us-west-2",
                "ecr-fips.us-west-2.api.aws",
                "sts-fips.us-west-2.api.aws",
                "ecr",
            ),
            (
                "public.ecr.aws",
                "us-east-1",
                "api.ecr-public.us-east-1.amazonaws.com",
                "sts.us-east-1.amazonaws.com",
                "ecr-public",
            ),
        ] {
            let registry = Registry::of(host, None).unwrap();
            assert_eq!(registry.region, region, "{host}");
            assert_eq!(registry.endpoint().unwrap().to_string(), format!("https://{api}"), "{host}");
            assert_eq!(registry.sts_endpoint().unwrap().to_string(), format!("https://{sts}"), "{host}");
            assert_eq!(registry.service(), service, "{host}");
        }
    }

    #[test]
    fn other_hosts_need_a_region() {
        for host in [
            "mirror.example.com:5000",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.test",
            "123456789012.dkr.ecr.eu-west-1.evil.test",
            "12345.dkr.ecr.eu-west-1.amazonaws.com",
            "dkr.ecr.eu-west-1.amazonaws.com",
        ] {
            assert!(matches!(Registry::of(host, None), Err(IssuerError::MissingSettings { .. })), "{host}");
            let registry = Registry::of(host, Some("cn-north-1")).unwrap();
            assert_eq!(registry.endpoint().unwrap().to_string(), "https://api.ecr.cn-north-1.amazonaws.com.cn");
        }
    }
}
