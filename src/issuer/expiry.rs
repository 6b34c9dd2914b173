//! How long a token is good, and how much of that the kubelet may use: the one place of this arithmetic.
//!
//! The kubelet never drops an answer early, not even on a 401. So what it is told leaves out a reserve: time to wait in the pull
//! queue and to start the last layer of a large image. Everything is relative to this machine's clock at the time of the
//! answer, so a wrong clock does no harm.

use std::time::Duration;

/// Clocks drift, and requests take time.
const SKEW: i64 = 60;
/// For the pull itself; never more than half of a token's life.
const RESERVE: i64 = 15 * 60;
/// Below this the kubelet keeps nothing: it would save nobody a request.
const SHORTEST_CACHE: i64 = 30;
/// No setting allows more than a day.
const LONGEST_CACHE: i64 = 24 * 60 * 60;
/// With less left than this, an issuer is asked anew; metadata servers hand out tokens that are nearly dead.
const SHORTEST_LIFE: i64 = 2 * 60;
/// For a token that does not say when it ends.
const UNKNOWN: i64 = 5 * 60;

/// When a token ends that is made from others which end as well; `None` stands for one that does not say.
///
/// Returns `None` when that has passed already.
pub(super) fn ends_at(now: i64, lifetimes: &[Option<Duration>]) -> Option<i64> {
    let least = lifetimes.iter().flatten().min();
    let seconds = least.map_or(UNKNOWN, |life| i64::try_from(life.as_secs()).unwrap_or(i64::MAX));
    (seconds > 0).then(|| now.saturating_add(seconds))
}

/// Whether a token is good enough to be handed out again without asking its issuer.
pub(super) fn is_fresh(minted_at: i64, expires_at: i64, now: i64) -> bool {
    let left = expires_at.saturating_sub(now);
    // A clock that was set back would let it live for longer than it does.
    minted_at <= now.saturating_add(SKEW) && left >= SHORTEST_LIFE.max(SKEW + reserve(minted_at, expires_at))
}

/// How long the kubelet may keep a token: what is left of its life, without skew and reserve, at most `cap`, and up to a tenth
/// less (`jitter` of 255), so that a fleet does not come back at once. Whole seconds, zero rather than little.
pub(super) fn cache_duration(minted_at: i64, expires_at: i64, now: i64, cap: Duration, jitter: u8) -> Duration {
    let usable = expires_at.saturating_sub(now).saturating_sub(SKEW + reserve(minted_at, expires_at));
    let usable = usable.min(i64::try_from(cap.as_secs()).unwrap_or(LONGEST_CACHE)).min(LONGEST_CACHE);
    if usable < SHORTEST_CACHE {
        return Duration::ZERO;
    }
    let less = usable / 10 * i64::from(jitter) / 255;
    Duration::from_secs((usable - less).unsigned_abs())
}

fn reserve(minted_at: i64, expires_at: i64) -> i64 {
    RESERVE.min(expires_at.saturating_sub(minted_at).max(0) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_CAP: Duration = Duration::MAX;

    fn seconds(values: &[Option<u64>]) -> Option<i64> {
        ends_at(1000, &values.iter().map(|value| value.map(Duration::from_secs)).collect::<Vec<_>>())
    }

    #[test]
    fn a_token_ends_with_the_first_of_what_it_is_made_from() {
        assert_eq!(seconds(&[Some(43_200), Some(3600)]), Some(4600));
        assert_eq!(seconds(&[Some(43_200), None]), Some(44_200));
        assert_eq!(seconds(&[None, None]), Some(1300));
        assert_eq!(seconds(&[]), Some(1300));
        assert_eq!(seconds(&[Some(0)]), None);
        assert_eq!(seconds(&[Some(u64::MAX)]), Some(i64::MAX));
    }

    #[test]
    fn the_kubelet_keeps_what_is_left_without_skew_and_reserve() {
        for (life, kept) in [
            (43_200, 43_200 - 60 - 900),
            (3600, 3600 - 60 - 900),
            (1800, 1800 - 60 - 900),
            (300, 300 - 60 - 150),
            (179, 30),
            (178, 0),
            (120, 0),
            (1, 0),
            (0, 0),
            (-5, 0),
        ] {
            assert_eq!(cache_duration(0, life, 0, NO_CAP, 0).as_secs(), kept, "{life}");
        }
        assert_eq!(cache_duration(0, i64::MAX, i64::MIN, NO_CAP, 0).as_secs(), 86_400, "no overflow");
    }

    #[test]
    fn what_comes_from_the_cache_ends_when_it_always_did() {
        for age in [0, 1, 1000, 2600] {
            assert_eq!(age + cache_duration(0, 3600, age, NO_CAP, 0).as_secs().cast_signed(), 2640, "{age}");
        }
        assert_eq!(cache_duration(0, 3600, 2620, NO_CAP, 0), Duration::ZERO);
        assert_eq!(cache_duration(0, 3600, 9999, NO_CAP, 0), Duration::ZERO);
    }

    #[test]
    fn the_cap_holds_and_the_jitter_takes_a_tenth_at_most() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!(cache_duration(0, 43_200, 0, hours(6), 0), hours(6));
        assert_eq!(cache_duration(0, 43_200, 0, hours(6), 255).as_secs(), 6 * 3600 * 9 / 10);
        assert_eq!(cache_duration(0, 43_200, 0, Duration::ZERO, 0), Duration::ZERO);
        for jitter in 0..=255 {
            let kept = cache_duration(0, 43_200, 0, hours(6), jitter).as_secs();
            assert!((19_440..=21_600).contains(&kept), "{jitter}: {kept}");
        }
    }

    #[test]
    fn an_issuer_is_asked_anew_before_the_reserve_begins() {
        assert!(is_fresh(0, 3600, 2640) && !is_fresh(0, 3600, 2641));
        assert!(is_fresh(0, 300, 90) && !is_fresh(0, 300, 91));
        assert!(!is_fresh(0, 119, 0), "under two minutes");
        assert!(!is_fresh(0, 100, 200), "dead");
        assert!(!is_fresh(1000, 4600, 900), "made in the future");
    }
}
