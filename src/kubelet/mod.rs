//! The kubelet's side of the contract: API group `credentialprovider.kubelet.k8s.io`
//! (kubernetes `staging/src/k8s.io/kubelet/pkg/apis/credentialprovider`), and what the kubelet does with an answer.

pub mod config;
pub mod image_match;
pub mod keyring;
pub mod request;
pub mod response;
pub mod service_account;

/// The argument that makes this program the plugin; a kubelet passes what its configuration lists under `args`.
pub const VERB: &str = "get-credentials";

/// Version of the API group. The answer must repeat the one of the request byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiVersion {
    /// kubelet 1.26 and later.
    V1,
    /// kubelet 1.24 and later.
    V1Beta1,
    /// kubelet 1.20 and later.
    V1Alpha1,
}

impl ApiVersion {
    /// Every version, newest first.
    pub const ALL: [Self; 3] = [Self::V1, Self::V1Beta1, Self::V1Alpha1];

    /// Returns the text of the `apiVersion` field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "credentialprovider.kubelet.k8s.io/v1",
            Self::V1Beta1 => "credentialprovider.kubelet.k8s.io/v1beta1",
            Self::V1Alpha1 => "credentialprovider.kubelet.k8s.io/v1alpha1",
        }
    }
}
