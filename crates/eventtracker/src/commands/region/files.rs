//! The files that survive a restart: the centre's configuration, MariaDB's options, a region's configuration.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// A file that is going to be changed, as it is now.
pub(super) struct Editable {
    path: PathBuf,
    pub(super) text: String,
}

impl Editable {
    /// Refuses a file that could not be replaced later, before anything else was changed.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        // A link stays a link: what it points at is replaced.
        let path = path
            .canonicalize()
            .with_context(|| format!("{} cannot be found", path.display()))?;
        let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let new = new_name(&path);
        let probe = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&new);
        probe
            .and_then(|_| fs::remove_file(&new))
            .and_then(|()| OpenOptions::new().append(true).open(&path))
            .with_context(|| {
                format!(
                    "{} cannot be replaced, which this command has to do: run it as a user who may write there",
                    path.display()
                )
            })?;
        Ok(Self { path, text })
    }

    /// Replaces the file in one step, durably, with the same mode. Returns whether anything changed.
    pub(super) fn replace(&mut self, text: String) -> anyhow::Result<bool> {
        if text == self.text {
            return Ok(false);
        }
        let now = fs::read_to_string(&self.path).unwrap_or_default();
        ensure!(
            now == self.text,
            "{} was changed by somebody else meanwhile: run the command again",
            self.path.display()
        );
        let new = new_name(&self.path);
        let write = || {
            let mut file = File::create(&new)?;
            // Before there is anything in it to be read.
            let as_it_was = fs::metadata(&self.path)?;
            file.set_permissions(as_it_was.permissions())?;
            let (user, group) = owner(&as_it_was);
            std::os::unix::fs::fchown(&file, Some(user), Some(group))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            self.path
                .parent()
                .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
        };
        if let Err(error) = write() {
            // What is left of the attempt says nothing that the error does not.
            drop(fs::remove_file(&new));
            return Err(error).with_context(|| format!("failed to replace {}", self.path.display()));
        }
        self.text = text;
        Ok(true)
    }

    pub(super) fn path(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}

fn owner(metadata: &fs::Metadata) -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    (metadata.uid(), metadata.gid())
}

/// Beside the file, under a name that neither MariaDB nor a role reads.
fn new_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut file = Editable::open(&path).unwrap();
        assert!(!file.replace("old".to_owned()).unwrap());
        assert!(file.replace("new".to_owned()).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing else is left"
        );
    }

    #[test]
    fn what_another_wrote_meanwhile_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        fs::write(&path, "old").unwrap();
        let mut file = Editable::open(&path).unwrap();
        fs::write(&path, "theirs").unwrap();
        let refusal = file.replace("new".to_owned()).unwrap_err().to_string();
        assert!(refusal.contains("somebody else"), "{refusal}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
        let missing = Editable::open(&dir.path().join("b.toml"));
        assert!(missing.is_err_and(|error| error.to_string().contains("cannot be found")));
    }
}
