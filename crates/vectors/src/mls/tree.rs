//! tree-validation: the ratchet tree of section 7, as far as the vectors speak of it: resolutions, tree
//! hashes, signatures of leaves.

use super::{
    formulas::{Made, Mls},
    tls::{Read, Reader, opaque, vector},
};
use crate::{
    Report, Set,
    data::{Hex, load},
    tally::holds,
};
use rly_crypto::vectors;
use serde::Deserialize;

const TREE_VALIDATION: &str = include_str!("../../data/mls_tree_validation.json");

#[derive(Deserialize)]
struct Vector {
    tree: Hex,
    group_id: Hex,
    resolutions: Vec<Vec<usize>>,
    tree_hashes: Vec<Hex>,
}

/// A node that is not blank. The bytes are its encoding.
pub(super) enum Node {
    Leaf(Leaf),
    Parent(Parent),
}

#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) bytes: Vec<u8>,
    pub(super) encryption_key: Vec<u8>,
    pub(super) signature_key: Vec<u8>,
    /// Everything before the signature.
    signed: Vec<u8>,
    /// Whether it came in a KeyPackage, and so knows no group.
    is_new: bool,
    /// If it came in a commit.
    parent_hash: Option<Vec<u8>>,
    signature: Vec<u8>,
}

pub(super) struct Parent {
    bytes: Vec<u8>,
    encryption_key: Vec<u8>,
    parent_hash: Vec<u8>,
    unmerged: Vec<usize>,
}

impl Leaf {
    /// Section 7.2.
    pub(super) fn read(from: &mut Reader) -> Read<Self> {
        const BASIC: u64 = 1;
        let (mut encryption_key, mut signature_key): (&[u8], &[u8]) = (&[], &[]);
        let (mut signed, mut signature): (&[u8], &[u8]) = (&[], &[]);
        let (mut source, mut parent_hash) = (0, None);
        let bytes = from.taken(|from| {
            signed = from.taken(|from| {
                encryption_key = from.vector()?;
                signature_key = from.vector()?;
                holds("a basic credential", from.number(2)? == BASIC)?;
                from.vector()?;
                for _ in 0..5 {
                    from.vector()?;
                }
                source = from.number(1)?;
                match source {
                    1 => drop(from.bytes(16)?),
                    2 => {}
                    3 => parent_hash = Some(from.vector()?.to_vec()),
                    _ => return Err("a leaf's source".into()),
                }
                from.vector()
            })?;
            signature = from.vector()?;
            Ok(())
        })?;
        Ok(Self {
            bytes: bytes.into(),
            encryption_key: encryption_key.into(),
            signature_key: signature_key.into(),
            signed: signed.into(),
            is_new: source == 1,
            parent_hash,
            signature: signature.into(),
        })
    }

    /// Section 7.9: in the leaf of a commit.
    pub(super) fn parent_hash(&self) -> Read<&[u8]> {
        self.parent_hash
            .as_deref()
            .ok_or("not the leaf of a commit".into())
    }

    /// Whether its owner signed it, for this place in this group.
    pub(super) fn is_signed(&self, mls: &Mls, group: &[u8], index: usize) -> bool {
        let mut signed = self.signed.clone();
        if !self.is_new {
            vector(&mut signed, group);
            signed.extend((index as u32).to_be_bytes());
        }
        mls.verifies(&self.signature_key, b"LeafNodeTBS", &signed, &self.signature)
    }
}

/// A tree in the array of appendix C: leaves at even places.
pub(super) struct Tree(pub(super) Vec<Option<Node>>);

/// How many levels of nodes are below.
fn level(node: usize) -> u32 {
    node.trailing_ones()
}

impl Tree {
    /// Section 7.8, and the blank nodes that it leaves out.
    pub(super) fn read(bytes: &[u8]) -> Read<Self> {
        let mut from = Reader(bytes);
        let mut from = Reader(from.vector()?);
        let mut nodes = Vec::new();
        while !from.0.is_empty() {
            let node = match (from.number(1)?, nodes.len() % 2) {
                (0, _) => None,
                (_, 0) => {
                    holds("a leaf", from.number(1)? == 1)?;
                    Some(Node::Leaf(Leaf::read(&mut from)?))
                }
                _ => {
                    holds("a parent", from.number(1)? == 2)?;
                    Some(Node::Parent(Parent::read(&mut from)?))
                }
            };
            nodes.push(node);
        }
        let leaves = nodes.len().div_ceil(2).next_power_of_two();
        nodes.resize_with(2 * leaves - 1, || None);
        Ok(Self(nodes))
    }

    pub(super) fn root(&self) -> usize {
        self.0.len() / 2
    }

    pub(super) fn children(node: usize) -> Option<(usize, usize)> {
        let half = 1 << level(node).checked_sub(1)?;
        Some((node - half, node + half))
    }

    pub(super) fn leaf(&self, index: usize) -> Option<&Leaf> {
        match self.0.get(2 * index)? {
            Some(Node::Leaf(leaf)) => Some(leaf),
            _ => None,
        }
    }

    pub(super) fn encryption_key(&self, node: usize) -> Option<&[u8]> {
        match self.0.get(node)?.as_ref()? {
            Node::Leaf(leaf) => Some(&leaf.encryption_key),
            Node::Parent(parent) => Some(&parent.encryption_key),
        }
    }

    /// Section 4.1.1.
    pub(super) fn resolution(&self, node: usize) -> Vec<usize> {
        match (&self.0[node], Self::children(node)) {
            (Some(Node::Parent(parent)), _) => {
                let unmerged = parent.unmerged.iter().map(|leaf| 2 * leaf);
                [node].into_iter().chain(unmerged).collect()
            }
            (Some(Node::Leaf(_)), _) => vec![node],
            (None, None) => Vec::new(),
            (None, Some((left, right))) => [self.resolution(left), self.resolution(right)].concat(),
        }
    }

    /// Section 7.8.
    pub(super) fn hash(&self, mls: &Mls, node: usize) -> Made {
        let present = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) => [&[1], bytes].concat(),
            None => vec![0],
        };
        let bytes = match &self.0[node] {
            Some(Node::Leaf(leaf)) => present(Some(&leaf.bytes)),
            Some(Node::Parent(parent)) => present(Some(&parent.bytes)),
            None => present(None),
        };
        let input = match Self::children(node) {
            None => [&[1][..], &((node / 2) as u32).to_be_bytes(), &bytes].concat(),
            Some((left, right)) => {
                let (left, right) = (self.hash(mls, left)?, self.hash(mls, right)?);
                [&[2][..], &bytes, &opaque(&left), &opaque(&right)].concat()
            }
        };
        mls.hash(&input)
    }

    /// The nodes from a leaf's parent up to the root, each with the child beside the path.
    pub(super) fn path(&self, leaf: usize) -> Vec<(usize, usize)> {
        let mut path = Vec::new();
        let mut node = self.root();
        while let Some((left, right)) = Self::children(node) {
            let (down, beside) = if 2 * leaf < node {
                (left, right)
            } else {
                (right, left)
            };
            path.push((node, beside));
            node = down;
        }
        path.reverse();
        path
    }
}

impl Parent {
    /// Section 7.1.
    fn read(from: &mut Reader) -> Read<Self> {
        let (mut encryption_key, mut parent_hash, mut unmerged): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
        let bytes = from.taken(|from| {
            encryption_key = from.vector()?;
            parent_hash = from.vector()?;
            unmerged = from.vector()?;
            Ok(())
        })?;
        let leaf = |leaf: &[u8]| Reader(leaf).number(4).map(|leaf| leaf as usize);
        Ok(Self {
            bytes: bytes.into(),
            encryption_key: encryption_key.into(),
            parent_hash: parent_hash.into(),
            unmerged: unmerged.chunks(4).map(leaf).collect::<Read<_>>()?,
        })
    }

    /// One that an update path brings: nothing is unmerged.
    pub(super) fn new(encryption_key: &[u8], parent_hash: &[u8]) -> Self {
        Self {
            bytes: [opaque(encryption_key), opaque(parent_hash), opaque(b"")].concat(),
            encryption_key: encryption_key.into(),
            parent_hash: parent_hash.into(),
            unmerged: Vec::new(),
        }
    }

    /// Section 7.9: what its children's parent hash is of, with the tree hash of the one that is not
    /// on the path.
    pub(super) fn hash_input(&self, sibling: &[u8]) -> Vec<u8> {
        [&self.encryption_key[..], &self.parent_hash, sibling]
            .map(opaque)
            .concat()
    }
}

pub(super) fn run() -> Report {
    let provider = vectors::provider();
    let mls = Mls(&provider);
    let mut set = Set::new("RFC 9420 tree-validation: provider of OpenMLS", 14);
    for (n, vector) in load::<Vector>(TREE_VALIDATION).iter().enumerate() {
        set.case(|| format!("tree {n}"), || check(&mls, vector));
    }
    set.end()
}

fn check(mls: &Mls, vector: &Vector) -> Read<()> {
    let tree = Tree::read(&vector.tree)?;
    let nodes = tree.0.len();
    holds(
        "size",
        nodes == vector.resolutions.len() && nodes == vector.tree_hashes.len(),
    )?;
    for node in 0..nodes {
        holds("resolution", tree.resolution(node) == vector.resolutions[node])?;
        holds("tree hash", tree.hash(mls, node)? == vector.tree_hashes[node][..])?;
    }
    for index in 0..=nodes / 2 {
        if let Some(leaf) = tree.leaf(index) {
            holds("signature", leaf.is_signed(mls, &vector.group_id, index))?;
        }
    }
    Ok(())
}
