//! The free chunks in one search tree, for the placements of the textbook.
//!
//! A treap: in order by key, and a heap by rank. Its nodes are the chunks, its
//! links their two links.
//!
//! ```text
//! placement    key              rank
//! first, next  address          size, of equal sizes the address's hash
//! best         size, address    the address's hash
//!
//! key(left child) < key(chunk) < key(right child), and so for all below them
//! rank(child)     < rank(chunk)
//! rover           == the address at which the last search ended    (next)
//! ```
//!
//! By address that is Stephenson's Cartesian tree ("Fast Fits", SOSP 1983): the
//! root of each subtree is its largest chunk, so that a search for the lowest
//! that fits turns round where nothing below fits, and never comes back up.
//!
//! Each operation follows one path down. It is of logarithmic length (Seidel
//! and Aragon, "Randomized Search Trees", 1996), in expectation over the hash;
//! by address, only where sizes do not follow the addresses: it is linear if
//! they rise or fall all along the heap. An aligned request follows one more
//! path for each chunk that is large enough and in which it does not fit.
//!
//! All of it is marked cold: what calls it is laid out for the bins, the default.

use super::bins::{Sized, lead, size_of_free};
use super::chunk::{Chunk, HEADER};
use super::misuse::corrupt;
use crate::size_class::GRAIN;

/// What chunks are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Address; the search begins at the lowest.
    First,
    /// Address; the search begins at the rover.
    Next,
    /// Size; the search begins at the smallest that fits.
    Best,
}

/// The tree; see the module's text.
pub(super) struct Tree {
    order: Order,
    root: Option<Chunk>,
    rover: usize,
}

/// Where a subtree hangs.
#[derive(Clone, Copy)]
enum Link {
    Root,
    Left(Chunk),
    Right(Chunk),
}

/// By address a chunk goes by its end, so that the chunk in which the rover lies,
/// since it has been merged to its left, comes next.
type Key = (usize, usize);

impl Tree {
    /// No chunk at all.
    pub(super) const fn new(order: Order) -> Tree {
        Tree { order, root: None, rover: 0 }
    }

    pub(super) fn key(&self, (chunk, size): Sized) -> Key {
        let end = chunk.address() + size;
        match self.order {
            Order::First | Order::Next => (end, 0),
            Order::Best => (size, end),
        }
    }

    fn rank(&self, (chunk, size): Sized) -> (usize, usize) {
        match self.order {
            Order::First | Order::Next => (size, hash(chunk.address())),
            Order::Best => (hash(chunk.address()), 0),
        }
    }

    /// What hangs at a link. A chunk that must not be there says that the link
    /// was overwritten; hence ranks fall on every way down, and it ends.
    fn at(&self, link: Link) -> Option<Sized> {
        let parent = match link {
            Link::Root => return self.root.map(|root| (root, size_of_free(root))),
            Link::Left(parent) | Link::Right(parent) => parent,
        };
        // SAFETY: in the tree, hence free.
        let (left, right) = unsafe { parent.links() };
        let child = if matches!(link, Link::Left(_)) { left } else { right }?;
        if child.address().is_multiple_of(GRAIN) {
            let child = (child, size_of_free(child));
            if self.rank(child) < self.rank((parent, size_of_free(parent))) {
                return Some(child);
            }
        }
        corrupt(parent, "a freed block was written to")
    }

    /// # Safety
    ///
    /// The link's chunk, if it has one, and `to` are free chunks of the heap.
    unsafe fn hang(&mut self, link: Link, to: Option<Chunk>) {
        // SAFETY: by contract.
        unsafe {
            match link {
                Link::Root => self.root = to,
                Link::Left(chunk) => chunk.set_links(to, chunk.links().1),
                Link::Right(chunk) => chunk.set_links(chunk.links().0, to),
            }
        }
    }

    /// Puts a chunk in: above the first of lower rank on its way down, which it
    /// parts in two.
    ///
    /// # Safety
    ///
    /// A chunk of the heap in state `Free`, `size` bytes long, not in the tree.
    #[cold]
    pub(super) unsafe fn insert(&mut self, chunk: Chunk, size: usize) {
        let new = (chunk, size);
        let mut link = Link::Root;
        let mut below = self.at(link);
        while let Some(node) = below
            && self.rank(node) > self.rank(new)
        {
            link = self.side(node, self.key(new));
            below = self.at(link);
        }
        // SAFETY: chunks in the tree are free, and `chunk` is by contract.
        unsafe {
            self.hang(link, Some(chunk));
            chunk.set_links(None, None);
            let (mut less, mut more) = (Link::Left(chunk), Link::Right(chunk));
            while let Some(node) = below {
                let side = self.side(node, self.key(new));
                let edge = if matches!(side, Link::Right(_)) { &mut less } else { &mut more };
                self.hang(*edge, Some(node.0));
                *edge = side;
                below = self.at(side);
            }
            self.hang(less, None);
            self.hang(more, None);
        }
    }

    /// On which side of `node` the key is.
    fn side(&self, node: Sized, key: Key) -> Link {
        if key < self.key(node) { Link::Left(node.0) } else { Link::Right(node.0) }
    }

    /// Takes a chunk out: of its two subtrees, that of higher rank moves up, and
    /// so on.
    ///
    /// # Safety
    ///
    /// A chunk in the tree, `size` bytes long.
    #[cold]
    pub(super) unsafe fn remove(&mut self, chunk: Chunk, size: usize) {
        let mut link = Link::Root;
        loop {
            match self.at(link) {
                Some((node, _)) if node == chunk => break,
                Some(node) => link = self.side(node, self.key((chunk, size))),
                None => corrupt(chunk, "a freed block was written to"),
            }
        }
        let (mut left, mut right) = (self.at(Link::Left(chunk)), self.at(Link::Right(chunk)));
        // SAFETY: chunks in the tree are free.
        unsafe {
            while let (Some(less), Some(more)) = (left, right) {
                if self.rank(less) > self.rank(more) {
                    self.hang(link, Some(less.0));
                    link = Link::Right(less.0);
                    left = self.at(link);
                } else {
                    self.hang(link, Some(more.0));
                    link = Link::Left(more.0);
                    right = self.at(link);
                }
            }
            self.hang(link, left.or(right).map(|(rest, _)| rest));
        }
    }

    /// Takes out the chunk that the placement wants for `size` bytes whose
    /// block, behind the header, is at a multiple of `align`.
    #[cold]
    pub(super) fn take(&mut self, size: usize, align: usize) -> Option<Sized> {
        let found = match self.order {
            Order::First => self.search((0, 0), size, align),
            Order::Best => self.search((size, 0), size, align),
            Order::Next => self
                .search((self.rover, 0), size, align)
                .or_else(|| self.search((0, 0), size, align)),
        }?;
        self.rover = found.0.address();
        // SAFETY: just found in the tree.
        unsafe { self.remove(found.0, found.1) };
        Some(found)
    }

    /// The first chunk beyond `key` in which such a block fits.
    fn search(&self, mut key: Key, size: usize, align: usize) -> Option<Sized> {
        loop {
            let found = self.after(key, size)?;
            if lead(found.0.address() + HEADER, align) + size <= found.1 {
                return Some(found);
            }
            key = self.key(found);
        }
    }

    /// The first chunk beyond `key` of at least `size` bytes; by size, `key`
    /// must say so itself.
    pub(super) fn after(&self, key: Key, size: usize) -> Option<Sized> {
        let mut found = None;
        let mut next = self.at(Link::Root);
        while let Some(node) = next {
            if self.order != Order::Best && node.1 < size {
                // The largest from here on down.
                break;
            }
            let side = self.side(node, key);
            if matches!(side, Link::Left(_)) {
                found = next;
            }
            next = self.at(side);
        }
        found
    }
}

/// Addresses at regular distances must not come out in any order (the
/// finalizer of splitmix64: a bijection, so that no two ranks are equal).
fn hash(address: usize) -> usize {
    let mut mixed = address;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ptr::NonNull;

    use brkpoint_workloads::forked::{self, End};
    use proptest::prelude::*;

    use super::super::chunk::{CHUNK_LEAST, State};
    use super::*;

    const PLACES: usize = 64;
    const ROOM: usize = 1024;

    /// What the placements say, without any structure.
    fn wanted(
        order: Order,
        free: &BTreeMap<usize, usize>,
        rover: usize,
        fits: impl Fn(usize, usize) -> bool,
    ) -> Option<usize> {
        let all: Vec<_> = free.iter().filter(|&(&at, &size)| fits(at, size)).collect();
        let next = all.iter().find(|&&(at, size)| at + size > rover);
        let chosen = match order {
            Order::First => all.first(),
            Order::Next => next.or(all.first()),
            Order::Best => all.iter().min_by_key(|&&(at, size)| (size, at)),
        };
        chosen.map(|&(&at, _)| at)
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Insert(usize, usize),
        Remove(usize),
        Take(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = (CHUNK_LEAST / GRAIN..ROOM / GRAIN).prop_map(|grains| grains * GRAIN);
        let few = (2..6_usize).prop_map(|grains| grains * GRAIN);
        let size = prop_oneof![size, few];
        prop_oneof![
            3 => (0..PLACES, size.clone()).prop_map(|(place, size)| Step::Insert(place, size)),
            1 => (0..PLACES).prop_map(Step::Remove),
            1 => (size, 4..9_u32).prop_map(|(size, align)| Step::Take(size, 1 << align)),
        ]
    }

    proptest! {
        #[test]
        fn chunks_are_placed_as_the_textbook_says(
            order in prop::sample::select(vec![Order::First, Order::Next, Order::Best]),
            steps in prop::collection::vec(step(), 1..300),
        ) {
            let mut memory = vec![0_u128; PLACES * ROOM / GRAIN];
            let start = NonNull::new(memory.as_mut_ptr()).unwrap().cast::<u8>();
            // SAFETY: within `memory`, a multiple of 16 bytes in.
            let chunk_at = |at: usize| Chunk::at(unsafe { start.add(at - start.addr().get()) });
            let (mut tree, mut free, mut rover) = (Tree::new(order), BTreeMap::new(), 0);
            for step in steps {
                match step {
                    Step::Insert(place, size) => {
                        let at = start.addr().get() + place * ROOM;
                        if let Some(old) = free.insert(at, size) {
                            // SAFETY: in the tree with that size.
                            unsafe { tree.remove(chunk_at(at), old) };
                        }
                        // SAFETY: each place has room for its chunk alone.
                        unsafe {
                            chunk_at(at).set(size, State::Free);
                            tree.insert(chunk_at(at), size);
                        }
                    }
                    Step::Remove(place) => {
                        let at = start.addr().get() + place * ROOM;
                        if let Some(size) = free.remove(&at) {
                            // SAFETY: in the tree with that size.
                            unsafe { tree.remove(chunk_at(at), size) };
                        }
                    }
                    Step::Take(size, align) => {
                        let wanted = wanted(order, &free, rover, |at, has| {
                            lead(at + HEADER, align) + size <= has
                        });
                        let taken = tree.take(size, align).map(|(chunk, _)| chunk.address());
                        prop_assert_eq!(taken, wanted);
                        if let Some(at) = taken {
                            free.remove(&at);
                            rover = at;
                        }
                    }
                }
                let (mut seen, mut key) = (0, (0, 0));
                while let Some(chunk) = tree.after(key, 0) {
                    prop_assert_eq!(free.get(&chunk.0.address()), Some(&chunk.1));
                    (seen, key) = (seen + 1, tree.key(chunk));
                }
                prop_assert_eq!(seen, free.len());
            }
        }
    }

    #[test]
    fn many_equal_chunks_at_regular_distances_make_no_list_of_the_tree() {
        for order in [Order::First, Order::Best] {
            let count = 1 << 14;
            let mut memory = vec![0_u128; count * 3];
            let start = NonNull::new(memory.as_mut_ptr()).unwrap().cast::<u8>();
            let mut tree = Tree::new(order);
            for i in 0..count {
                // SAFETY: chunks of 32 bytes, 48 bytes apart, within `memory`.
                unsafe {
                    let chunk = Chunk::at(start.add(i * 48));
                    chunk.set(CHUNK_LEAST, State::Free);
                    tree.insert(chunk, CHUNK_LEAST);
                }
            }
            let mut stack = vec![(Link::Root, 0)];
            let mut deepest = 0;
            while let Some((link, depth)) = stack.pop() {
                if let Some((chunk, _)) = tree.at(link) {
                    deepest = deepest.max(depth + 1);
                    stack.push((Link::Left(chunk), depth + 1));
                    stack.push((Link::Right(chunk), depth + 1));
                }
            }
            // Addresses differ from run to run; 14 levels are the least there can be.
            assert!((14..80).contains(&deepest), "{deepest}");
        }
    }

    #[test]
    fn a_link_back_to_its_own_chunk_ends_the_process() {
        let mut memory = [0_u128; 4];
        let start = NonNull::new(memory.as_mut_ptr()).unwrap().cast::<u8>();
        for order in [Order::First, Order::Best] {
            let mut tree = Tree::new(order);
            let chunk = Chunk::at(start);
            // SAFETY: a chunk of 64 bytes, which `memory` has.
            unsafe {
                chunk.set(64, State::Free);
                tree.insert(chunk, 64);
            }
            let end = |overwrite: bool| {
                // SAFETY: in the tree; in the child its link is overwritten on purpose.
                let end = forked::run(None, || unsafe {
                    chunk.set_links(overwrite.then_some(chunk), None);
                    i32::from(tree.at(Link::Left(chunk)).is_some())
                });
                end.unwrap()
            };
            assert_eq!([false, true].map(end), [End::Exited(0), End::Killed(libc::SIGABRT)]);
        }
    }
}
