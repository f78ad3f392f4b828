//! A disk that is quickly full: a small file system in memory, mounted for the tests alone.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Written at once when a disk is filled.
const PIECE: [u8; 16 * 1024] = [0; 16 * 1024];

pub(crate) struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// Mounts it at `dir`, which is made.
    ///
    /// # Errors
    /// A sentence that says why there can be none here. `tests/run` gives tests a mount namespace of their own.
    pub(crate) fn mount(dir: &Path, mib: u32) -> Result<Self, String> {
        std::fs::create_dir_all(dir).map_err(|error| error.to_string())?;
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(dir)
            .output()
            .map_err(|error| format!("mount cannot be run: {error}"))?;
        if output.status.success() {
            Ok(Self { dir: dir.to_owned() })
        } else {
            Err(format!(
                "no small file system can be mounted here, so nothing is shown of full disks ({}); run tests/run, where \
                 unshare --mount or --user works",
                String::from_utf8_lossy(&output.stderr).trim()
            ))
        }
    }

    /// Leaves no byte free.
    pub(crate) fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        loop {
            match ballast.write_all(&PIECE) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("failed to fill {}: {error}", self.dir.display()),
            }
        }
    }

    pub(crate) fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Its servers have stopped, or are told to; the mount goes with the last of them.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.dir).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.dir.display());
        }
    }
}
