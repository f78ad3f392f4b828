//! Where our dialect differs from graphite-web's on purpose.

/// A difference, as the README's table has it.
pub(super) struct Difference {
    pub(super) what: &'static str,
    pub(super) theirs: &'static str,
    pub(super) ours: &'static str,
    /// Targets that show it: each has to differ in one of its windows at least. With `@ ` and a part of
    /// the window behind it, it may differ only there.
    pub(super) shown_by: &'static [&'static str],
}

pub(super) const DIFFERENCES: &[Difference] = &[];

/// Functions of graphite-web that ours has not, with the reason.
pub(super) const NOT_TAKEN: &[(&str, &str)] = &[];

/// The README's table of differences.
pub(super) fn table() -> String {
    let row = |d: &Difference| format!("| {} | {} | {} |\n", d.what, d.theirs, d.ours);
    let head = "| | graphite-web | here |\n|---|---|---|\n".to_owned();
    DIFFERENCES.iter().map(row).fold(head, |table, row| table + &row)
}
