//! The tree as the kernel asks for it.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::tree::{Owner, Tree};

/// The kernel keeps nothing: after a cut it would remember what the disk has forgotten.
const UNCACHED: Duration = Duration::ZERO;
const DIRECT: FopenFlags = FopenFlags::FOPEN_DIRECT_IO;

/// Inodes are never numbered twice.
const GENERATION: Generation = Generation(0);

/// The most that one write brings.
const WRITE_BYTES_MAX: u32 = 1 << 20;

/// What the file system says of its size, in blocks: programs ask whether there is room.
const BLOCKS: u64 = 1 << 28;
const BLOCK_BYTES: u32 = 4096;
const NAME_BYTES_MAX: u32 = 255;

/// `O_APPEND`, and `O_DSYNC`, which is a part of `O_SYNC`, as Linux numbers them on every architecture that Debian runs servers on.
const APPENDING: OpenFlags = OpenFlags(0o2_000);
const SYNCHRONOUS: OpenFlags = OpenFlags(0o10_000);

const TYPE_BITS: u32 = 0o170_000;
const SOCKET: u32 = 0o140_000;
const PIPE: u32 = 0o010_000;
const REGULAR: u32 = 0o100_000;

#[derive(Debug, Clone)]
pub(crate) struct Mounted(pub(crate) Arc<Mutex<Tree>>);

impl Mounted {
    pub(crate) fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, reply: ReplyEntry, find: impl FnOnce(&mut Tree) -> Result<u64, Errno>) {
        let mut tree = self.tree();
        match find(&mut tree).and_then(|inode| tree.attributes(inode)) {
            Ok(attributes) => reply.entry(&UNCACHED, &attributes, GENERATION),
            Err(error) => reply.error(error),
        }
    }

    fn empty(&self, reply: ReplyEmpty, act: impl FnOnce(&mut Tree) -> Result<(), Errno>) {
        match act(&mut self.tree()) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }
}

fn answer(reply: ReplyAttr, attributes: Result<FileAttr, Errno>) {
    match attributes {
        Ok(attributes) => reply.attr(&UNCACHED, &attributes),
        Err(error) => reply.error(error),
    }
}

fn owner(request: &Request, mode: u32, umask: u32) -> Owner {
    Owner {
        uid: request.uid(),
        gid: request.gid(),
        perm: permissions(mode & !umask),
    }
}

fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).unwrap_or_default()
}

/// Whether a file that was opened with these flags has this one.
fn has(flags: OpenFlags, flag: OpenFlags) -> bool {
    flags.0 & flag.0 == flag.0
}

impl Filesystem for Mounted {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Where the kernel takes less, the most that it takes.
        if let Err(most) = config.set_max_write(WRITE_BYTES_MAX) {
            config
                .set_max_write(most)
                .map_err(|_| std::io::ErrorKind::Unsupported)?;
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(reply, |tree| tree.lookup(parent.0, name));
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        answer(reply, self.tree().attributes(inode.0));
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut tree = self.tree();
        let changed = size
            .map_or(Ok(()), |size| tree.set_len(inode.0, size))
            .and_then(|()| {
                tree.set_owner(inode.0, |owner| {
                    owner.perm = mode.map_or(owner.perm, permissions);
                    owner.uid = uid.unwrap_or(owner.uid);
                    owner.gid = gid.unwrap_or(owner.gid);
                })
            });
        answer(reply, changed.and_then(|()| tree.attributes(inode.0)));
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        match self.tree().link_target(inode.0) {
            Ok(to) => reply.data(to.as_os_str().as_encoded_bytes()),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        let owner = owner(request, mode, umask);
        self.entry(reply, |tree| match mode & TYPE_BITS {
            REGULAR => tree.add_file(parent.0, name, owner),
            SOCKET => tree.add_special(parent.0, name, FileType::Socket, owner),
            PIPE => tree.add_special(parent.0, name, FileType::NamedPipe, owner),
            _ => Err(Errno::EPERM),
        });
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let owner = owner(request, mode, umask);
        self.entry(reply, |tree| tree.add_directory(parent.0, name, owner));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(reply, |tree| tree.remove(parent.0, name, false));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(reply, |tree| tree.remove(parent.0, name, true));
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, to: &Path, reply: ReplyEntry) {
        let owner = owner(request, 0o777, 0);
        self.entry(reply, |tree| tree.add_link(parent.0, name, to, owner));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            return reply.error(Errno::EINVAL);
        }
        let keeps_existing = flags.contains(RenameFlags::RENAME_NOREPLACE);
        self.empty(reply, |tree| {
            tree.rename((parent.0, name), (new_parent.0, new_name), keeps_existing)
        });
    }

    fn link(&self, _: &Request, inode: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(reply, |tree| tree.name(inode.0, parent.0, name).map(|()| inode.0));
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.tree().open(inode.0) {
            Ok(()) => reply.opened(FileHandle(0), DIRECT),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut tree = self.tree();
        let created = tree.add_file(parent.0, name, owner(request, mode, umask));
        let opened = created.and_then(|inode| tree.open(inode).and_then(|()| tree.attributes(inode)));
        match opened {
            Ok(attributes) => reply.created(&UNCACHED, &attributes, GENERATION, FileHandle(0), DIRECT),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self
            .tree()
            .read(inode.0, offset, usize::try_from(size).unwrap_or(usize::MAX))
        {
            Ok(data) => reply.data(&data),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let offset = (!has(flags, APPENDING)).then_some(offset);
        match self.tree().write(inode.0, offset, data, has(flags, SYNCHRONOUS)) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn release(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.tree().close(inode.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.empty(reply, |tree| tree.sync_file(inode.0));
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.empty(reply, |tree| tree.sync_directory(inode.0));
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let list = match self.tree().list(inode.0) {
            Ok(list) => list,
            Err(error) => return reply.error(error),
        };
        let own = [".", ".."].map(|name| (name.into(), inode, FileType::Directory));
        let entries = list
            .into_iter()
            .map(|(name, attributes)| (name, attributes.ino, attributes.kind));
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (next, (name, inode, kind)) in (1..).zip(own.into_iter().chain(entries)).skip(from) {
            if reply.add(inode, next, kind, &name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(
            BLOCKS,
            BLOCKS / 2,
            BLOCKS / 2,
            BLOCKS,
            BLOCKS / 2,
            BLOCK_BYTES,
            NAME_BYTES_MAX,
            BLOCK_BYTES,
        );
    }

    fn fallocate(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        // Only room at the end: nothing that would change what is read.
        if mode != 0 {
            return reply.error(Errno::EOPNOTSUPP);
        }
        self.empty(reply, |tree| {
            let len = tree.attributes(inode.0)?.size;
            tree.set_len(inode.0, len.max(offset + length))
        });
    }
}
