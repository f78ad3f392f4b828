#![doc = include_str!("../README.md")]
#![expect(clippy::disallowed_methods, reason = "files have times")]

mod content;
mod mounted;
mod tree;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fuser::{BackgroundSession, Config, MountOption};

use self::mounted::Mounted;
pub use self::tree::{Forgotten, Names};
use self::tree::{Owner, Tree};

/// What `/proc/mounts` calls it.
const NAME: &str = "forgetful";

/// Between two looks whether all files are closed, and how many there are.
const CLOSED_LOOK: Duration = Duration::from_millis(1);
const CLOSED_AFTER_LOOKS: u32 = 100;

/// A process has a file of the disk open.
#[derive(Debug, thiserror::Error)]
#[error("a process has a file of this disk open, so this would be no power cut")]
pub struct InUse;

/// No such disk can be had here.
#[derive(Debug, thiserror::Error)]
#[error(
    "no file system that forgets can be mounted at {}, so nothing is shown of power cuts; run tests/run, where /dev/fuse is there and unshare \
     --mount or --user works", dir.display()
)]
pub struct Error {
    dir: PathBuf,
    source: io::Error,
}

/// A disk in memory, mounted at a directory until it is dropped.
#[derive(Debug)]
pub struct Disk {
    mounted: Mounted,
    _session: BackgroundSession,
}

impl Disk {
    /// Mounts an empty one at `dir`, which is made where it is missing.
    ///
    /// # Errors
    /// The directory cannot be made, or the kernel mounts nothing for this process.
    pub fn mount(dir: &Path, names: Names) -> Result<Self, Error> {
        let mount = || {
            std::fs::create_dir_all(dir)?;
            let owner = Owner {
                uid: rustix::process::getuid().as_raw(),
                gid: rustix::process::getgid().as_raw(),
                perm: 0o700,
            };
            let mounted = Mounted(Arc::new(Mutex::new(Tree::new(names, owner, SystemTime::now))));
            let mut config = Config::default();
            config.mount_options = vec![MountOption::FSName(NAME.to_owned())];
            let session = fuser::spawn_mount(mounted.clone(), dir, &config)?;
            Ok(Self {
                mounted,
                _session: session,
            })
        };
        mount().map_err(|source| Error {
            dir: dir.to_owned(),
            source,
        })
    }

    /// Makes everything durable, as sync(2) does.
    pub fn sync(&self) {
        self.mounted.tree().sync();
    }

    /// Cuts the power: forgets everything that is not durable. Of the last write that was not synced, the first sectors stay, as many as
    /// `torn` says when it is told how many there are.
    ///
    /// # Errors
    /// A process has a file of this disk open: one that goes on after its disk has lost its power is no power cut. Of processes that have
    /// ended the kernel closes the files a moment later.
    pub fn cut(&self, torn: impl FnOnce(usize) -> usize) -> Result<Forgotten, InUse> {
        for _ in 0..CLOSED_AFTER_LOOKS {
            let mut tree = self.mounted.tree();
            if !tree.is_in_use() {
                return Ok(tree.cut(torn));
            }
            drop(tree);
            std::thread::sleep(CLOSED_LOOK);
        }
        Err(InUse)
    }
}
