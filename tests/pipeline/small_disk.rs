//! A disk that is quickly full: a small file system in memory, mounted for the tests alone.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::ledger::Ledger;
use crate::rig::{Rig, try_put};
use crate::sender::FIRST_MINUTE;

/// Written at once when a disk is filled.
const PIECE: [u8; 16 * 1024] = [0; 16 * 1024];

/// Room for some log files of beanstalkd's, of 1 MiB each: one that is started again needs another beside those that hold jobs.
pub(crate) const QUEUE_MIB: u32 = 64;

/// Bytes of white space in a job that is there to fill a log file.
const PADDING_BYTES: usize = 60_000;

/// Far more jobs than two log files hold.
const PADDING_JOBS_MAX: u64 = 2_000;

/// Makes the playground take `data` for its own, although something is going to be in it before it starts.
pub(crate) fn prepare(data: &Path, regions: &[String]) {
    std::fs::create_dir_all(data).unwrap();
    let names: String = regions.iter().map(|name| format!("{name}\n")).collect();
    std::fs::write(data.join("regions"), names).unwrap();
}

/// Puts jobs until beanstalkd takes no more, each of which counts one under a name of its own in the first minute.
pub(crate) async fn pad_queue(rig: &Rig, region: &str) -> Ledger {
    let mut ledger = Ledger::default();
    for _ in 0..PADDING_JOBS_MAX {
        let id = uuid(rand::random());
        let (name, counts) = (
            format!("padding.{id}"),
            json!({ FIRST_MINUTE.to_string(): [[0, 1]] }),
        );
        let job =
            json!({ "accepted": FIRST_MINUTE, "names": [name], "batches": [{ "id": id, "counts": counts }] });
        let body = format!("{job}{}", " ".repeat(PADDING_BYTES));
        match try_put(rig, region, body.as_bytes()).await {
            Ok(reply) if reply.contains("INSERTED") => ledger.acknowledged(&name, FIRST_MINUTE, 1),
            Ok(reply) if reply.contains("OUT_OF_MEMORY") => return ledger,
            // beanstalkd is away, or its reply was lost.
            _ => {
                ledger.doubtful(&name, FIRST_MINUTE, 1);
                return ledger;
            }
        }
    }
    panic!("beanstalkd took {PADDING_JOBS_MAX} jobs of {PADDING_BYTES} bytes on a disk of {QUEUE_MIB} MiB");
}

/// In the usual form.
pub(crate) fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

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
