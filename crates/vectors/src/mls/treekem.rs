//! treekem: section 7.4 to 7.6: every leaf decrypts its path secret of every update path, and all come
//! to the same commit secret and the same tree.

use super::{
    formulas::{Mls, group_context},
    tls::{Read, Reader},
    tree::{Leaf, Node, Parent, Tree},
};
use crate::{
    Report, Set,
    data::{Hex, load},
    tally::holds,
};
use rly_crypto::vectors;
use serde::Deserialize;
use std::collections::BTreeMap;

const TREEKEM: &str = include_str!("../../data/mls_treekem.json");

#[derive(Deserialize)]
struct Vector {
    group_id: Hex,
    epoch: u64,
    confirmed_transcript_hash: Hex,
    ratchet_tree: Hex,
    leaves_private: Vec<Private>,
    update_paths: Vec<Update>,
}

#[derive(Deserialize)]
struct Private {
    index: usize,
    encryption_priv: Hex,
    signature_priv: Hex,
    path_secrets: Vec<Known>,
}

#[derive(Deserialize)]
struct Known {
    node: usize,
    path_secret: Hex,
}

#[derive(Deserialize)]
struct Update {
    sender: usize,
    update_path: Hex,
    path_secrets: Vec<Option<Hex>>,
    commit_secret: Hex,
    tree_hash_after: Hex,
}

/// What an update path says of one node: its key, and the path secret for each node of the resolution
/// beside it.
struct PathNode {
    key: Vec<u8>,
    sealed: Vec<(Vec<u8>, Vec<u8>)>,
}

pub(super) fn run() -> Report {
    let provider = vectors::provider();
    let mls = Mls(&provider);
    // Of each of 11 trees: the private keys of its leaves, and an update path by each of them.
    let leaves: usize = 2 + 3 + 4 + 5 + 6 + 7 + 8 + 7 + 5 + 8 + 7;
    let mut set = Set::new("RFC 9420 treekem: provider of OpenMLS", 2 * leaves);
    for (n, vector) in load::<Vector>(TREEKEM).iter().enumerate() {
        for private in &vector.leaves_private {
            let name = || format!("tree {n}, keys of leaf {}", private.index);
            set.case(name, || fits(&mls, vector, private));
        }
        for update in &vector.update_paths {
            let name = || format!("tree {n}, update path of leaf {}", update.sender);
            set.case(name, || check(&mls, vector, update));
        }
    }
    set.end()
}

/// The private keys of a leaf are those of the public ones in the tree.
fn fits(mls: &Mls, vector: &Vector, private: &Private) -> Read<()> {
    let tree = Tree::read(&vector.ratchet_tree)?;
    let leaf = tree.leaf(private.index).ok_or("a blank leaf")?;
    let public = |secret: &[u8]| {
        let secret = secret.try_into().ok();
        secret
            .and_then(vectors::public_key)
            .map(|key| key.as_bytes().to_vec())
    };
    let signature_key = public(&private.signature_priv);
    holds(
        "signature key",
        signature_key.as_deref() == Some(&leaf.signature_key[..]),
    )?;
    let encryption_key = public(&private.encryption_priv);
    holds(
        "encryption key",
        encryption_key.as_deref() == Some(&leaf.encryption_key[..]),
    )?;
    for known in &private.path_secrets {
        let (_, key) = mls.key_pair(&mls.derive(&known.path_secret, b"node")?)?;
        holds("path secret", tree.encryption_key(known.node) == Some(&key[..]))?;
    }
    Ok(())
}

fn read_path(bytes: &[u8]) -> Read<(Leaf, Vec<PathNode>)> {
    let mut from = Reader(bytes);
    let leaf = Leaf::read(&mut from)?;
    let mut nodes = Reader(from.vector()?);
    from.end()?;
    let mut path = Vec::new();
    while !nodes.0.is_empty() {
        let key = nodes.vector()?.to_vec();
        let mut secrets = Reader(nodes.vector()?);
        let mut sealed = Vec::new();
        while !secrets.0.is_empty() {
            sealed.push((secrets.vector()?.to_vec(), secrets.vector()?.to_vec()));
        }
        path.push(PathNode { key, sealed });
    }
    Ok((leaf, path))
}

fn check(mls: &Mls, vector: &Vector, update: &Update) -> Read<()> {
    let old = Tree::read(&vector.ratchet_tree)?;
    let (leaf, nodes) = read_path(&update.update_path)?;
    holds("signature", leaf.is_signed(mls, &vector.group_id, update.sender))?;

    // Section 4.1.2: the filtered path leaves out what has nobody beside it.
    let path = old.path(update.sender);
    let (filtered, blank): (Vec<_>, Vec<_>) = path
        .into_iter()
        .partition(|(_, beside)| !old.resolution(*beside).is_empty());
    holds("length of the path", filtered.len() == nodes.len())?;

    let new = merged(mls, vector, update, &leaf, &filtered, &blank, &nodes)?;
    let tree_hash = new.hash(mls, new.root())?;
    holds("tree hash", tree_hash == update.tree_hash_after[..])?;
    let context = group_context(
        &vector.group_id,
        vector.epoch,
        &tree_hash,
        &vector.confirmed_transcript_hash,
    );

    for private in vector
        .leaves_private
        .iter()
        .filter(|private| private.index != update.sender)
    {
        let keys = keys_of(mls, private)?;
        // The lowest node of the path that is above this leaf, and which of its secrets is for us.
        let reach = |(_, beside): &(usize, usize)| is_below(2 * private.index, *beside);
        let at = filtered.iter().position(reach).ok_or("no common ancestor")?;
        let resolution = old.resolution(filtered[at].1);
        holds("a secret for each", resolution.len() == nodes[at].sealed.len())?;
        let mine = resolution.iter().position(|node| keys.contains_key(node));
        let mine = mine.ok_or("no secret for this leaf")?;
        let (output, text) = &nodes[at].sealed[mine];
        let key = &keys[&resolution[mine]];
        let open = |text: &[u8]| mls.open(key, b"UpdatePathNode", &context, output, text);
        let mut secret = open(text)?;
        let expected = update.path_secrets.get(private.index).and_then(Option::as_ref);
        holds(
            "path secret",
            expected.map(|secret| &secret[..]) == Some(&secret[..]),
        )?;
        for n in [0, 1, text.len() - 16, text.len() - 1] {
            holds("cut secret refused", open(&text[..n]).is_err())?;
        }
        for node in &nodes[at..] {
            let (_, public) = mls.key_pair(&mls.derive(&secret, b"node")?)?;
            holds("a key of the path", public == node.key)?;
            secret = mls.derive(&secret, b"path")?;
        }
        holds("commit secret", secret == update.commit_secret[..])?;
    }
    Ok(())
}

fn is_below(node: usize, top: usize) -> bool {
    let reach = (1 << top.trailing_ones()) - 1;
    node >= top - reach && node <= top + reach
}

/// The secret keys that a leaf knows, by node.
fn keys_of(mls: &Mls, private: &Private) -> Read<BTreeMap<usize, Vec<u8>>> {
    let mut keys = BTreeMap::from([(2 * private.index, private.encryption_priv.to_vec())]);
    for known in &private.path_secrets {
        let (secret, _) = mls.key_pair(&mls.derive(&known.path_secret, b"node")?)?;
        keys.insert(known.node, secret);
    }
    Ok(keys)
}

/// Section 7.5: the tree with the update path in it, and the parent hashes (section 7.9) right.
fn merged(
    mls: &Mls,
    vector: &Vector,
    update: &Update,
    leaf: &Leaf,
    filtered: &[(usize, usize)],
    blank: &[(usize, usize)],
    nodes: &[PathNode],
) -> Read<Tree> {
    let old = Tree::read(&vector.ratchet_tree)?;
    let mut new = Tree::read(&vector.ratchet_tree)?;
    for (node, _) in blank {
        new.0[*node] = None;
    }
    // From the root down: each node holds the hash of the one above it.
    let mut parent_hash = Vec::new();
    for ((node, beside), path) in filtered.iter().zip(nodes).rev() {
        let parent = Parent::new(&path.key, &parent_hash);
        parent_hash = mls.hash(&parent.hash_input(&old.hash(mls, *beside)?))?;
        new.0[*node] = Some(Node::Parent(parent));
    }
    holds("parent hash", leaf.parent_hash()? == parent_hash)?;
    new.0[2 * update.sender] = Some(Node::Leaf(leaf.clone()));
    Ok(new)
}
