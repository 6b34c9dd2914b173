//! The issuers and their cache in the Windows program, under Wine, against the servers that the Linux program is tested with.
//!
//! This simulates Windows and verifies nothing about it: the sockets are Wine's, and its one account owns all files. Each test
//! is one that runs on Linux too, with the same assertions; `ca-file` is a path of Windows.

use super::faults::{self, Subject};
use super::{aws, azure, cache, exchange, google, oauth2, quay, token_exchange, trust, vault};
use crate::windows::Machine;

const SUBJECTS: [Subject; 3] = [exchange::SUBJECT, aws::SUBJECT, azure::SUBJECT];

/// Makes a test of a fault for these issuers.
macro_rules! faults {
    ($subjects:expr, $($name:ident)*) => {
        $(#[test]
        fn $name() {
            let subjects: &[Subject] = &$subjects;
            for subject in subjects {
                let Some(machine) = Machine::with_store() else { return };
                faults::$name(subject, &machine);
            }
        })*
    };
}

faults!(SUBJECTS, right wrong_secret slow_drip unknown_authority);

// One way to the network serves all issuers.
faults!(SUBJECTS[..1], forbidden busy_once broken_for_ever truncated cut_off huge redirect closed clock_is_off);

#[test]
fn every_other_issuer_answers() {
    for subject in [google::subject(), oauth2::SUBJECT, quay::SUBJECT, token_exchange::SUBJECT, vault::SUBJECT] {
        let Some(machine) = Machine::with_store() else { return };
        faults::right(&subject, &machine);
    }
}

/// Makes tests of those of a module.
macro_rules! tests {
    ($module:ident, $($name:ident)*) => {
        $(#[test]
        fn $name() {
            let Some(machine) = Machine::with_store() else { return };
            $module::$name(&machine);
        })*
    };
}

tests!(trust, a_ca_file_of_every_editor the_environment_counts);

tests!(cache, a_killed_asker_costs_one_more a_token_with_life_left_is_served a_warm_cache_asks_nobody a_bad_cache_is_a_miss
    allow_names_service_accounts);

#[test]
fn a_burst_asks_once() {
    let Some(machine) = Machine::with_store() else { return };
    cache::a_burst_asks_once(&machine, 8);
}
