//! Load on the whole pipeline.

fn main() {}
