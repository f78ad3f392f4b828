//! The whole pipeline on real servers, driven through its public faces. Each module is named by what it shows.
//!
//! A sender keeps a ledger of what it sent: less at the centre is loss, more is doubling. Every wait
//! is for a state, has a limit, and prints the last state seen.

#![expect(clippy::disallowed_methods, reason = "tests wait for states, up to a limit")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod centre;
mod complete;
mod failpoints;
mod ledger;
mod machines;
mod python;
mod relay;
mod rig;
mod sender;
mod small_disk;
mod truth;
mod tube;
mod under_load;

mod access_log;
mod annotations;
mod audit;
mod backup;
mod bad_input;
mod central_servers;
mod completeness;
mod counts_are_exact;
mod crash_points;
mod disk_full;
mod drained;
mod encrypted;
mod grafana;
mod graphite;
mod graphite_oracle;
mod hostile_directory;
mod import_history;
mod keeper_watches;
mod key_reuse;
mod keyed_retry;
mod killed;
mod least_rights;
mod links;
mod many_names;
mod names;
mod odd_inputs;
mod openapi;
mod packing;
mod packing_turns;
mod playground_command;
mod poison_job;
mod power_cut;
mod queue_full;
mod readers;
mod readme_commands;
mod readmes;
mod redelivery;
mod regions;
mod relation;
mod restored_centre;
mod roles_observed;
mod same_rules;
mod second_centre;
mod series_formats;
mod shard_moves;
mod slow_clients;
mod soak;
mod sql_clients;
mod stopped;
mod strangers_refused;
mod switched;
mod tokens;
mod units;
mod wrong_clock;
