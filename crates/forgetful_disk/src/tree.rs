//! Files and directories, and what a power cut leaves of them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use fuser::{Errno, FileAttr, FileType, INodeNo};
use hashbrown::{HashMap, HashSet};

use crate::content::{Content, sectors};

/// The inode of the file system's own directory.
pub(crate) const ROOT: u64 = INodeNo::ROOT.0;

const BLOCK_BYTES: u32 = 4096;

/// An entry of a directory names an inode.
type Entries = BTreeMap<OsString, u64>;

#[derive(Debug)]
enum Body {
    File(Content),
    Directory {
        now: Entries,
        durable: Entries,
    },
    Link(PathBuf),
    /// A socket or a pipe, which is nothing but a name.
    Special(FileType),
}

/// Who owns an inode, and what they may do with it. Durable at once, as far as this disk goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) perm: u16,
}

#[derive(Debug)]
struct Node {
    body: Body,
    owner: Owner,
    modified: SystemTime,
    /// Entries that name it: those that programs see, each a directory and a name in it.
    names: Vec<(u64, OsString)>,
    /// How many a cut leaves.
    names_durable: u32,
    /// Files that programs have opened.
    opens: u32,
}

/// A write that was not synced yet, and is the last one of the whole disk.
#[derive(Debug)]
struct LastWrite {
    inode: u64,
    offset: u64,
    data: Vec<u8>,
}

/// What a cut has forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Bytes of the pages that were written and not synced.
    pub bytes: u64,
    /// Entries of directories that were made, removed or renamed and not synced.
    pub names: u64,
    /// Whether the beginning of the last write was kept.
    pub is_torn: bool,
}

/// When a name in a directory is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// After the directory was synced, which is all that POSIX says.
    WithDirectory,
    /// After the file that it names was synced, too: what ext4, XFS and btrfs do.
    WithFile,
}

#[derive(Debug)]
pub(crate) struct Tree {
    rule: Names,
    nodes: HashMap<u64, Node>,
    next: u64,
    last_write: Option<LastWrite>,
    clock: fn() -> SystemTime,
}

impl Tree {
    pub(crate) fn new(rule: Names, owner: Owner, clock: fn() -> SystemTime) -> Self {
        let root = Node {
            names_durable: 1,
            ..Node::new(Body::directory(), owner, clock())
        };
        Self {
            rule,
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT + 1,
            last_write: None,
            clock,
        }
    }

    fn node(&mut self, inode: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&inode).ok_or(Errno::ENOENT)
    }

    fn entries(&mut self, directory: u64) -> Result<&mut Entries, Errno> {
        match &mut self.node(directory)?.body {
            Body::Directory { now, .. } => Ok(now),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn content(&mut self, file: u64) -> Result<&mut Content, Errno> {
        match &mut self.node(file)?.body {
            Body::File(content) => Ok(content),
            Body::Directory { .. } => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(crate) fn attributes(&self, inode: u64) -> Result<FileAttr, Errno> {
        let node = self.nodes.get(&inode).ok_or(Errno::ENOENT)?;
        let (kind, size) = match &node.body {
            Body::File(content) => (FileType::RegularFile, content.len()),
            Body::Directory { .. } => (FileType::Directory, u64::from(BLOCK_BYTES)),
            Body::Link(to) => (FileType::Symlink, to.as_os_str().len() as u64),
            Body::Special(kind) => (*kind, 0),
        };
        Ok(FileAttr {
            ino: INodeNo(inode),
            size,
            blocks: size.div_ceil(512),
            atime: node.modified,
            mtime: node.modified,
            ctime: node.modified,
            crtime: node.modified,
            kind,
            perm: node.owner.perm,
            nlink: u32::try_from(node.names.len()).unwrap_or(u32::MAX).max(1),
            uid: node.owner.uid,
            gid: node.owner.gid,
            rdev: 0,
            blksize: BLOCK_BYTES,
            flags: 0,
        })
    }

    pub(crate) fn lookup(&mut self, directory: u64, name: &OsStr) -> Result<u64, Errno> {
        self.entries(directory)?.get(name).copied().ok_or(Errno::ENOENT)
    }

    pub(crate) fn list(&mut self, directory: u64) -> Result<Vec<(OsString, FileAttr)>, Errno> {
        let entries = self.entries(directory)?.clone();
        let list = entries.into_iter();
        list.map(|(name, inode)| Ok((name, self.attributes(inode)?)))
            .collect()
    }

    pub(crate) fn link_target(&mut self, link: u64) -> Result<&Path, Errno> {
        match &self.node(link)?.body {
            Body::Link(to) => Ok(to),
            _ => Err(Errno::EINVAL),
        }
    }

    fn add(&mut self, directory: u64, name: &OsStr, body: Body, owner: Owner) -> Result<u64, Errno> {
        let inode = self.next;
        match self.entries(directory)? {
            entries if entries.contains_key(name) => return Err(Errno::EEXIST),
            entries => entries.insert(name.to_owned(), inode),
        };
        self.next += 1;
        let mut node = Node::new(body, owner, (self.clock)());
        node.names.push((directory, name.to_owned()));
        self.nodes.insert(inode, node);
        Ok(inode)
    }

    pub(crate) fn add_file(&mut self, directory: u64, name: &OsStr, owner: Owner) -> Result<u64, Errno> {
        self.add(directory, name, Body::File(Content::default()), owner)
    }

    pub(crate) fn add_directory(&mut self, directory: u64, name: &OsStr, owner: Owner) -> Result<u64, Errno> {
        self.add(directory, name, Body::directory(), owner)
    }

    pub(crate) fn add_link(
        &mut self,
        directory: u64,
        name: &OsStr,
        to: &Path,
        owner: Owner,
    ) -> Result<u64, Errno> {
        self.add(directory, name, Body::Link(to.to_owned()), owner)
    }

    pub(crate) fn add_special(
        &mut self,
        directory: u64,
        name: &OsStr,
        kind: FileType,
        owner: Owner,
    ) -> Result<u64, Errno> {
        self.add(directory, name, Body::Special(kind), owner)
    }

    /// Another name of an inode.
    pub(crate) fn name(&mut self, inode: u64, directory: u64, name: &OsStr) -> Result<(), Errno> {
        match self.entries(directory)? {
            entries if entries.contains_key(name) => return Err(Errno::EEXIST),
            entries => entries.insert(name.to_owned(), inode),
        };
        self.node(inode)?.names.push((directory, name.to_owned()));
        Ok(())
    }

    pub(crate) fn remove(&mut self, directory: u64, name: &OsStr, of_directory: bool) -> Result<(), Errno> {
        let inode = self.lookup(directory, name)?;
        match &self.node(inode)?.body {
            Body::Directory { now, .. } if of_directory && now.is_empty() => {}
            Body::Directory { .. } if of_directory => return Err(Errno::ENOTEMPTY),
            Body::Directory { .. } => return Err(Errno::EISDIR),
            _ if of_directory => return Err(Errno::ENOTDIR),
            _ => {}
        }
        self.entries(directory)?.remove(name);
        self.node(inode)?.unname(directory, name);
        self.remove_unused(inode);
        Ok(())
    }

    /// Renames, over what has the new name already unless that is to be kept.
    pub(crate) fn rename(
        &mut self,
        (from, name): (u64, &OsStr),
        (to, new_name): (u64, &OsStr),
        keeps_existing: bool,
    ) -> Result<(), Errno> {
        let inode = self.lookup(from, name)?;
        match self.lookup(to, new_name) {
            Ok(existing) if existing == inode => return Ok(()),
            Ok(_) if keeps_existing => return Err(Errno::EEXIST),
            Ok(existing) => {
                let is_directory = matches!(self.node(existing)?.body, Body::Directory { .. });
                self.remove(to, new_name, is_directory)?;
            }
            Err(_) => {}
        }
        self.entries(from)?.remove(name);
        self.entries(to)?.insert(new_name.to_owned(), inode);
        let node = self.node(inode)?;
        node.unname(from, name);
        node.names.push((to, new_name.to_owned()));
        Ok(())
    }

    pub(crate) fn open(&mut self, inode: u64) -> Result<(), Errno> {
        self.node(inode)?.opens += 1;
        Ok(())
    }

    /// A file that a program closed. After a cut there are none that were open before it.
    pub(crate) fn close(&mut self, inode: u64) {
        if let Some(node) = self.nodes.get_mut(&inode) {
            node.opens = node.opens.saturating_sub(1);
            self.remove_unused(inode);
        }
    }

    fn remove_unused(&mut self, inode: u64) {
        let is_unused = |node: &Node| node.names.is_empty() && node.names_durable + node.opens == 0;
        if self.nodes.get(&inode).is_some_and(is_unused) {
            self.nodes.remove(&inode);
        }
    }

    pub(crate) fn read(&mut self, file: u64, offset: u64, bytes_max: usize) -> Result<Vec<u8>, Errno> {
        Ok(self.content(file)?.read(offset, bytes_max))
    }

    /// Writes; at the file's end where there is no `offset`.
    pub(crate) fn write(
        &mut self,
        file: u64,
        offset: Option<u64>,
        data: &[u8],
        synchronous: bool,
    ) -> Result<(), Errno> {
        let now = (self.clock)();
        let content = self.content(file)?;
        let offset = offset.unwrap_or(content.len());
        content.write(offset, data, synchronous);
        self.node(file)?.modified = now;
        if !synchronous {
            self.last_write = Some(LastWrite {
                inode: file,
                offset,
                data: data.to_owned(),
            });
        }
        Ok(())
    }

    pub(crate) fn set_len(&mut self, file: u64, len: u64) -> Result<(), Errno> {
        self.content(file)?.set_len(len);
        Ok(())
    }

    pub(crate) fn set_owner(&mut self, inode: u64, change: impl FnOnce(&mut Owner)) -> Result<(), Errno> {
        change(&mut self.node(inode)?.owner);
        Ok(())
    }

    /// Makes a file's bytes durable, and its names where that is the rule.
    pub(crate) fn sync_file(&mut self, file: u64) -> Result<(), Errno> {
        self.content(file)?.sync();
        self.last_write.take_if(|write| write.inode == file);
        match self.rule {
            Names::WithDirectory => Ok(()),
            Names::WithFile => self.sync_names(file),
        }
    }

    /// Makes the names of an inode durable, and those of the directories above.
    fn sync_names(&mut self, inode: u64) -> Result<(), Errno> {
        for (directory, name) in self.node(inode)?.names.clone() {
            let Body::Directory { durable, .. } = &mut self.node(directory)?.body else {
                return Err(Errno::ENOTDIR);
            };
            let before = durable.insert(name, inode);
            if before == Some(inode) {
                continue;
            }
            self.node(inode)?.names_durable += 1;
            if let Some(before) = before {
                self.node(before)?.names_durable -= 1;
                self.remove_unused(before);
            }
            self.sync_names(directory)?;
        }
        Ok(())
    }

    /// Makes the names in a directory durable, not what they name.
    pub(crate) fn sync_directory(&mut self, directory: u64) -> Result<(), Errno> {
        let Body::Directory { now, durable } = &mut self.node(directory)?.body else {
            return Err(Errno::ENOTDIR);
        };
        let now = now.clone();
        let before = std::mem::replace(durable, now.clone());
        for inode in now.into_values() {
            self.node(inode)?.names_durable += 1;
        }
        for inode in before.into_values() {
            self.node(inode)?.names_durable -= 1;
            self.remove_unused(inode);
        }
        Ok(())
    }

    /// Makes everything durable, as sync(2) does.
    pub(crate) fn sync(&mut self) {
        self.last_write = None;
        for node in self.nodes.values_mut() {
            match &mut node.body {
                Body::File(content) => content.sync(),
                Body::Directory { now, durable } => durable.clone_from(now),
                Body::Link(_) | Body::Special(_) => {}
            }
        }
        self.count_durable_names();
        self.nodes.retain(|_, node| node.names_durable + node.opens > 0);
    }

    pub(crate) fn is_in_use(&self) -> bool {
        self.nodes.values().any(|node| node.opens > 0)
    }

    /// Forgets what is not durable, but of the last write so many sectors as `torn` says, out of those that it has.
    pub(crate) fn cut(&mut self, torn: impl FnOnce(usize) -> usize) -> Forgotten {
        let mut forgotten = Forgotten::default();
        if let Some(LastWrite { inode, offset, data }) = self.last_write.take()
            && let Ok(content) = self.content(inode)
        {
            let kept = torn(sectors(&data));
            content.tear(offset, &data, kept);
            forgotten.is_torn = kept > 0;
        }
        for node in self.nodes.values_mut() {
            match &mut node.body {
                Body::File(content) => forgotten.bytes += content.forget(),
                Body::Directory { now, durable } => {
                    let is_new = |(name, inode): &(&OsString, &u64)| durable.get(*name) != Some(*inode);
                    let is_gone = |(name, _): &(&OsString, &u64)| !now.contains_key(*name);
                    forgotten.names += now.iter().filter(is_new).count() as u64;
                    forgotten.names += durable.iter().filter(is_gone).count() as u64;
                    now.clone_from(durable);
                }
                Body::Link(_) | Body::Special(_) => {}
            }
            node.opens = 0;
        }
        let kept = self.reachable();
        self.nodes.retain(|inode, _| kept.contains(inode));
        self.count_durable_names();
        forgotten
    }

    /// Counts the names anew after what programs see has become what is durable, or the other way round.
    fn count_durable_names(&mut self) {
        let mut names: HashMap<u64, Vec<(u64, OsString)>> = HashMap::new();
        for (&directory, node) in &self.nodes {
            if let Body::Directory { durable, .. } = &node.body {
                for (name, &inode) in durable {
                    names.entry(inode).or_default().push((directory, name.clone()));
                }
            }
        }
        for (inode, node) in &mut self.nodes {
            node.names = names.remove(inode).unwrap_or_default();
            node.names_durable =
                u32::from(*inode == ROOT) + u32::try_from(node.names.len()).unwrap_or(u32::MAX);
        }
    }

    fn reachable(&self) -> HashSet<u64> {
        let (mut reached, mut next) = (HashSet::from([ROOT]), vec![ROOT]);
        while let Some(inode) = next.pop() {
            if let Some(Body::Directory { now, .. }) = self.nodes.get(&inode).map(|node| &node.body) {
                next.extend(now.values().filter(|&&inode| reached.insert(inode)));
            }
        }
        reached
    }
}

impl Node {
    fn new(body: Body, owner: Owner, now: SystemTime) -> Self {
        Self {
            body,
            owner,
            modified: now,
            names: Vec::new(),
            names_durable: 0,
            opens: 0,
        }
    }

    fn unname(&mut self, directory: u64, name: &OsStr) {
        self.names.retain(|(of, known)| *of != directory || known != name);
    }
}

impl Body {
    fn directory() -> Self {
        Self::Directory {
            now: Entries::new(),
            durable: Entries::new(),
        }
    }
}
