//! One binary for everything: the roles that run for ever, and the commands that an operator types.

use std::process::ExitCode;

/// The allocator. A sixth of a collector's time with single events was the system's; this one takes half of that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    eventtracker::main()
}
