//! What programs that nobody here wrote lose when the power goes: those that do not sync do, those that sync do not.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use forgetful_disk::{Disk, Forgotten, Names};
use rustix::fs::OFlags;
use tempfile::TempDir;

fn disk() -> (TempDir, Disk) {
    with(Names::WithDirectory)
}

fn with(names: Names) -> (TempDir, Disk) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::mount(dir.path(), names).unwrap_or_else(|error| panic!("{error}"));
    (dir, disk)
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

fn dd(to: &Path, further: &str) {
    let to = format!("of={}", to.display());
    let mut arguments = vec!["if=/dev/zero", "bs=1000", "count=7", &to];
    arguments.extend(further.split_whitespace());
    run("dd", &arguments);
}

fn sync(path: &Path) {
    run("sync", &[path.to_str().unwrap()]);
}

fn nothing(_sectors: usize) -> usize {
    0
}

#[test]
fn what_is_not_synced_is_forgotten_and_what_is_synced_is_not() {
    let (dir, disk) = disk();
    let [plain, synced, as_written] = ["plain", "synced", "as_written"].map(|name| dir.path().join(name));
    for file in [&plain, &synced, &as_written] {
        File::create(file).unwrap();
    }
    sync(dir.path());
    dd(&plain, "conv=notrunc");
    dd(&synced, "conv=notrunc,fdatasync");
    dd(&as_written, "conv=notrunc oflag=dsync");
    for file in [&plain, &synced, &as_written] {
        assert_eq!(fs::metadata(file).unwrap().len(), 7_000);
    }
    let forgotten = disk.cut(nothing).unwrap();
    assert!(forgotten.bytes > 0, "{forgotten:?}");
    let lengths = [&plain, &synced, &as_written].map(|file| fs::metadata(file).unwrap().len());
    assert_eq!(lengths, [0, 7_000, 7_000]);
}

#[test]
fn a_name_is_durable_with_its_directory_and_not_with_its_content() {
    let (dir, disk) = disk();
    let [kept, lost] = ["kept", "lost"].map(|name| dir.path().join(name));
    dd(&kept, "conv=fsync");
    sync(dir.path());
    dd(&lost, "conv=fsync");
    let forgotten = disk.cut(nothing).unwrap();
    assert_eq!(
        forgotten,
        Forgotten {
            names: 1,
            ..Forgotten::default()
        }
    );
    assert_eq!(fs::metadata(&kept).unwrap().len(), 7_000);
    assert!(!lost.exists());
}

/// Whatever it is called meanwhile.
#[test]
fn where_names_come_with_files_a_synced_file_has_its_name() {
    let (dir, disk) = with(Names::WithFile);
    let inner = dir.path().join("inner");
    let [draft, kept, lost] = ["draft", "kept", "lost"].map(|name| inner.join(name));
    fs::create_dir(&inner).unwrap();
    File::create(&lost).unwrap();
    File::create(&draft).unwrap();
    fs::rename(&draft, &kept).unwrap();
    dd(&kept, "conv=fsync");
    assert_eq!(disk.cut(nothing).unwrap().names, 1);
    assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
    assert_eq!(fs::metadata(&kept).unwrap().len(), 7_000);
    fs::rename(&kept, &lost).unwrap();
    disk.cut(nothing).unwrap();
    assert!(kept.exists() && !lost.exists());
}

/// As editors replace files: with the directory's sync there is the new file, without it the old one, never half of one.
#[test]
fn a_rename_is_durable_with_its_directory() {
    let (dir, disk) = disk();
    let (file, draft) = (dir.path().join("file"), dir.path().join("draft"));
    for (text, is_synced) in [("first", true), ("second", false), ("third", true)] {
        fs::write(&draft, text).unwrap();
        sync(&draft);
        run("mv", &[draft.to_str().unwrap(), file.to_str().unwrap()]);
        if is_synced {
            sync(dir.path());
        }
        disk.cut(nothing).unwrap();
        let expected = if text == "second" { "first" } else { text };
        assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    }
}

#[test]
fn a_removal_is_forgotten_without_its_directorys_sync() {
    let (dir, disk) = disk();
    let (file, inner) = (dir.path().join("file"), dir.path().join("inner"));
    fs::write(&file, "text").unwrap();
    fs::create_dir(&inner).unwrap();
    disk.sync();
    fs::remove_file(&file).unwrap();
    fs::remove_dir(&inner).unwrap();
    disk.cut(nothing).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    fs::remove_file(&file).unwrap();
    fs::remove_dir(&inner).unwrap();
    sync(dir.path());
    disk.cut(nothing).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_last_write_may_be_torn() {
    let (dir, disk) = disk();
    let file = dir.path().join("file");
    File::create(&file).unwrap();
    disk.sync();
    fs::write(&file, [b'x'; 2_000]).unwrap();
    let forgotten = disk.cut(|sectors| {
        assert_eq!(sectors, 4);
        3
    });
    let forgotten = forgotten.unwrap();
    assert!(forgotten.is_torn);
    assert_eq!(fs::read(&file).unwrap(), [b'x'; 3 * 512]);
}

/// As MariaDB writes its pages and its redo log.
#[test]
fn a_direct_write_is_durable_if_it_is_synchronous() {
    let (dir, disk) = disk();
    let file = dir.path().join("file");
    let open = |flags: OFlags| {
        let mut options = OpenOptions::new();
        let flags = i32::try_from(flags.bits()).unwrap();
        options
            .create(true)
            .append(true)
            .custom_flags(flags)
            .open(&file)
            .unwrap()
    };
    open(OFlags::DIRECT).write_all(&[b'a'; 4096]).unwrap();
    disk.sync();
    open(OFlags::DIRECT | OFlags::DSYNC)
        .write_all(&[b'b'; 4096])
        .unwrap();
    open(OFlags::DIRECT).write_all(&[b'c'; 4096]).unwrap();
    disk.cut(nothing).unwrap();
    assert_eq!(fs::read(&file).unwrap(), [[b'a'; 4096], [b'b'; 4096]].concat());
}

#[test]
fn whoever_uses_a_disk_has_power() {
    let (dir, disk) = disk();
    let file = File::create(dir.path().join("file")).unwrap();
    assert!(disk.cut(nothing).is_err());
    drop(file);
    assert_eq!(disk.cut(nothing).unwrap().names, 1);
}

#[test]
fn where_nothing_can_be_mounted_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Disk::mount(&file, Names::WithFile).unwrap_err().to_string();
    assert!(error.contains("nothing is shown of power cuts"), "{error}");
}
