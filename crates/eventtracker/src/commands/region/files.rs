//! The files that survive a restart: the centre's configuration, MariaDB's options, a region's configuration.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

/// A file that is going to be changed, with its text as it is now.
pub(in crate::commands) struct Editable {
    path: PathBuf,
    pub(in crate::commands) text: String,
}

impl Editable {
    /// Reads a file, and tries whether it could be replaced later, before anything else is changed.
    ///
    /// # Errors
    /// A file that cannot be read, or not be replaced by one of the same mode and owner.
    pub(in crate::commands) fn open(path: &Path) -> anyhow::Result<Self> {
        // A link stays a link: what it points at is replaced.
        let path = path
            .canonicalize()
            .with_context(|| format!("{} cannot be found", path.display()))?;
        let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let probe = with_draft(&path, |_, draft| fs::remove_file(draft));
        if let Err(error) = probe.and_then(|()| Ok(OpenOptions::new().append(true).open(&path)?)) {
            let cause = error.downcast_ref().map(io::Error::kind);
            let remedy = if cause == Some(io::ErrorKind::PermissionDenied) {
                ": run it as root, or as the file's owner where that one may write beside it"
            } else {
                ""
            };
            let path = path.display();
            return Err(error).context(format!(
                "{path} cannot be replaced by a file of the same mode and owner, which this command has to do{remedy}"
            ));
        }
        Ok(Self { path, text })
    }

    /// Replaces the file in one step, durably, with the same mode and owner. Returns whether anything changed.
    ///
    /// # Errors
    /// A file that was changed by somebody else meanwhile, or cannot be written.
    pub(in crate::commands) fn replace(&mut self, text: String) -> anyhow::Result<bool> {
        if text == self.text {
            return Ok(false);
        }
        let now = fs::read_to_string(&self.path).unwrap_or_default();
        ensure!(
            now == self.text,
            "{} was changed by somebody else meanwhile: run the command again",
            self.path.display()
        );
        with_draft(&self.path, |mut file, draft| {
            // The text is on the disk before the name is, and the name's change after it: a crash leaves one of both texts as a whole.
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            failpoint::crash("region.draft_written");
            fs::rename(draft, &self.path)?;
            failpoint::crash("region.renamed");
            self.path
                .parent()
                .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
        })
        .with_context(|| format!("failed to replace {}", self.path.display()))?;
        self.text = text;
        Ok(true)
    }

    pub(in crate::commands) fn path(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}

/// Hands `then` an empty file beside `path`, of its mode and owner, and removes it again if anything fails.
fn with_draft(path: &Path, then: impl FnOnce(&File, &Path) -> io::Result<()>) -> anyhow::Result<()> {
    let draft = draft_name(path);
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft);
    let file = match created {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
            "{} exists: another run of this command is writing it, or one that was killed has left it; \
             remove it if none runs",
            draft.display()
        ),
        created => created.with_context(|| format!("failed to create {}", draft.display()))?,
    };
    // Mode and owner come before the text, which may be secret.
    if let Err(error) = resemble(&file, path).and_then(|()| then(&file, &draft)) {
        // What is left of the attempt says nothing that the error does not.
        drop(fs::remove_file(&draft));
        return Err(error.into());
    }
    Ok(())
}

/// Gives `file` the mode and owner of the file at `path`.
fn resemble(file: &File, path: &Path) -> io::Result<()> {
    let as_it_is = fs::metadata(path)?;
    file.set_permissions(as_it_is.permissions())?;
    fchown(file, Some(as_it_is.uid()), Some(as_it_is.gid()))
}

/// The draft's path: beside the file, under a name that neither MariaDB nor a role reads, nor anybody else writes.
fn draft_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".eventtracker-new");
    path.with_file_name(name)
}

/// The line ending of a file's text, to be kept.
pub(in crate::commands) fn line_ending(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use forgetful_disk::{Disk, Forgotten, Names};

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
    fn the_power_may_go_at_any_time() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::mount(dir.path(), Names::WithDirectory).unwrap_or_else(|error| panic!("{error}"));
        let path = dir.path().join("a.toml");
        fs::write(&path, "old").unwrap();
        disk.sync();
        let mut file = Editable::open(&path).unwrap();
        assert!(file.replace("new".to_owned()).unwrap());
        assert_eq!(disk.cut(|_| 0).unwrap(), Forgotten::default());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        with_draft(&path, |mut draft, _| draft.write_all(b"half")).unwrap();
        disk.cut(|sectors| sectors).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
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

    #[test]
    fn what_stands_where_the_new_file_is_written_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        fs::write(&path, "old").unwrap();
        let theirs = dir.path().join("theirs");
        fs::write(&theirs, "theirs").unwrap();
        let mut file = Editable::open(&path).unwrap();
        let draft = draft_name(&path);
        std::os::unix::fs::symlink(&theirs, &draft).unwrap();
        for refusal in [
            Editable::open(&path).err().unwrap(),
            file.replace("new".to_owned()).unwrap_err(),
        ] {
            let refusal = format!("{refusal:#}");
            assert!(refusal.contains("a.toml.eventtracker-new exists"), "{refusal}");
            assert!(refusal.ends_with("remove it if none runs"), "{refusal}");
            assert!(!refusal.contains("run it as root"), "{refusal}");
        }
        assert_eq!(fs::read_link(&draft).unwrap(), theirs);
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        fs::remove_file(&draft).unwrap();
        assert!(file.replace("new".to_owned()).unwrap());
    }

    /// Only root can make a file of another owner; the kernel lets a single thread become that other user.
    #[test]
    fn who_may_write_a_file_and_cannot_keep_its_owner_is_refused() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not tested: this takes root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let nobody = rustix::process::Uid::from_raw(65534);
        let refused = std::thread::scope(|scope| {
            let as_nobody = || {
                rustix::thread::set_thread_res_uid(None, nobody, None).unwrap();
                Editable::open(&path).err()
            };
            scope.spawn(as_nobody).join().unwrap()
        });
        let refusal = format!("{:#}", refused.expect("it is refused"));
        assert!(refusal.contains("run it as root"), "{refusal}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left");

        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
        let mut file = Editable::open(&path).unwrap();
        assert!(file.replace("new".to_owned()).unwrap());
        let now = fs::metadata(&path).unwrap();
        assert_eq!((now.uid(), now.gid(), now.mode() & 0o777), (65534, 65534, 0o666));
    }
}
