//! An error and its causes, in one line.

use std::fmt;

/// An error to be shown as `{error:#}`, but with each cause once: some libraries repeat a cause in the text of what it caused.
pub(crate) struct Causes<'a>(pub(crate) &'a anyhow::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.chain().map(ToString::to_string).collect();
        let mut told: Vec<&str> = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let without_its_cause = texts
                .get(at + 1)
                .and_then(|cause| text.strip_suffix(cause.as_str())?.strip_suffix(": "))
                .unwrap_or(text);
            if !told.iter().any(|earlier| earlier.contains(without_its_cause)) {
                told.push(without_its_cause);
            }
        }
        f.write_str(&told.join(": "))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        let told = |texts: &[&'static str]| {
            let mut texts = texts.iter().rev();
            let innermost = anyhow!(*texts.next().unwrap());
            Causes(&texts.fold(innermost, |error, text| error.context(*text))).to_string()
        };
        // As mysql_async words an error of the operating system, and one of the server.
        assert_eq!(
            told(&[
                "failed to connect",
                "Input/output error: Input/output error: No such file",
                "Input/output error: No such file",
                "No such file",
            ]),
            "failed to connect: Input/output error: No such file"
        );
        assert_eq!(
            told(&[
                "failed to connect",
                "Server error: `ERROR 1045: denied'",
                "ERROR 1045: denied"
            ]),
            "failed to connect: Server error: `ERROR 1045: denied'"
        );
        assert_eq!(told(&["a is wrong", "b is wrong"]), "a is wrong: b is wrong");
        assert_eq!(told(&["the same", "the same"]), "the same");
        assert_eq!(told(&["alone"]), "alone");
    }
}
