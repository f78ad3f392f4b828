//! The plain form of events and serde_json read the same: `cargo fuzz run --sanitizer none both_ways`, in `crates/collector`.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| collector::check_both_ways(body));
