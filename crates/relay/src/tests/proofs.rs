//! What a reader shows: a signature, or a ticket.

use super::*;
use jsonwebtoken::{Algorithm, DecodingKey};
use p256::ecdsa::signature::Verifier;
use rly_protocol::{Decode, to_base64url};

const REFUSED: ErrorCode = ErrorCode::ProofInvalid;

/// What a connection says to a message and to nothing else.
async fn told(server: &Server, message: &[u8]) -> Result<(), ErrorCode> {
    let mut client = server.connect().await;
    client.incoming.handle(Bytes::copy_from_slice(message)).await
}

/// The first `n` bytes and zeros, for each `n`; without those that are the signature itself, because
/// it ends in a zero by chance.
fn with_zeros(signature: Signature) -> impl Iterator<Item = Signature> {
    let cuts = (0..64).map(move |n| {
        let mut cut = signature;
        cut.0[n..].fill(0);
        cut
    });
    cuts.filter(move |cut| *cut != signature)
}

/// Project Wycheproof's edge cases, with the library that the server checks signatures with.
#[test]
fn signatures_hold_or_not_as_wycheproof_says() {
    use serde_json::Value;
    let vectors = include_str!("../../../vectors/data/ecdsa_p1363.json");
    let vectors: Vec<Value> = serde_json::from_str(vectors).unwrap();
    let hex = |vector: &Value, name: &str| -> Vec<u8> {
        let text = vector[name].as_str().unwrap();
        let byte = |n| u8::from_str_radix(&text[n..n + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(byte).collect()
    };
    for vector in &vectors {
        let (key, message) = (hex(vector, "key"), hex(vector, "msg"));
        let signature = <[u8; 64]>::try_from(hex(vector, "sig")).map(Signature);
        let holds = match (PublicKey::try_from(&key[..]), signature) {
            (Ok(key), Ok(signature)) => crate::connection::signed(&key, &message, &signature),
            _ => false,
        };
        assert_eq!(holds, vector["result"] == "valid", "tcId {}", vector["id"]);
    }
    assert_eq!(vectors.len(), 262);
}

#[tokio::test]
async fn a_cut_signature_proves_nothing() {
    let server = Server::any().await;
    let mailbox = server.register().await;
    let mut client = server.connect().await;
    let signature = client.sign(&mailbox.key, &mailbox.queue);
    for signature in with_zeros(signature) {
        let refused = client
            .subscribe_with(mailbox.queue, Proof::Signed { signature })
            .await;
        assert_eq!(refused.err().map(|(code, _)| code), Some(REFUSED));
    }
    // The signature is the end of the frame.
    let frame = ClientFrame::Subscribe {
        req: 1,
        queue: mailbox.queue,
        proof: Proof::Signed { signature },
    };
    let frame = frame.to_message();
    for n in 0..=64 {
        let cut = &frame[..frame.len() - 64 + n];
        let expected = if n < 64 {
            Err(ErrorCode::FrameInvalid)
        } else {
            Ok(())
        };
        assert_eq!(told(&server, cut).await, expected, "cut to {n}");
    }
    client.subscribe(&mailbox).await;
}

#[tokio::test]
async fn a_cut_signature_opens_no_vault() {
    let server = Server::any().await;
    let (key, mut client) = (new_key(), server.connect().await);
    let id = crate::vaults::vault_id(&public(&key));
    let signature = client.sign(&key, &id);
    let open = |req, signature| ClientFrame::OpenVault {
        req,
        key: public(&key),
        signature,
    };
    for cut in with_zeros(signature) {
        let refused = client.ask(|req| open(req, cut)).await;
        assert_eq!(refused.err().map(|(code, _)| code), Some(REFUSED));
    }
    let frame = open(1, signature).to_message();
    for n in 0..64 {
        let cut = told(&server, &frame[..frame.len() - 64 + n]).await;
        assert_eq!(cut, Err(ErrorCode::FrameInvalid), "cut to {n}");
    }
    assert!(client.ask(|req| open(req, signature)).await.is_ok());
}

#[tokio::test]
async fn a_cut_ticket_is_none() {
    let server = Server::any().await;
    let mailbox = server.register().await;
    let mut client = server.connect().await;
    let ticket = client.subscribe(&mailbox).await;
    for n in 0..32 {
        let mut cut = ticket.clone();
        cut.mac[n..].fill(0);
        // The MAC may end in a zero by chance.
        if cut == ticket {
            continue;
        }
        let refused = client
            .subscribe_with(mailbox.queue, Proof::Ticket { ticket: cut })
            .await;
        assert_eq!(
            refused.err().map(|(code, _)| code),
            Some(REFUSED),
            "zeros from {n}"
        );
    }
    let frame = ClientFrame::Subscribe {
        req: 1,
        queue: mailbox.queue,
        proof: Proof::Ticket { ticket },
    };
    let frame = frame.to_message();
    for n in 0..32 {
        let cut = told(&server, &frame[..frame.len() - 32 + n]).await;
        assert_eq!(cut, Err(ErrorCode::FrameInvalid), "cut to {n}");
    }
}

/// s and n - s are both signatures, as in WebCrypto, where half of all are the higher one.
#[tokio::test]
async fn both_twins_of_a_signature_prove_the_same() {
    let server = Server::any().await;
    let mailbox = server.register().await;
    let mut client = server.connect().await;
    let signature = client.sign(&mailbox.key, &mailbox.queue);
    let (r, s) = Ecdsa::from_slice(&signature.0).unwrap().split_scalars();
    let twin = Ecdsa::from_scalars(r, -s).unwrap();
    let message = proof_message(ORIGIN, &client.nonce, &mailbox.queue);
    assert!(mailbox.key.verifying_key().verify(&message, &twin).is_ok());
    let proof = Proof::Signed {
        signature: Signature(twin.to_bytes().into()),
    };
    assert!(client.subscribe_with(mailbox.queue, proof).await.is_ok());
}

/// Project Wycheproof: what readers' proofs are checked with, and what tokens are.
#[test]
fn wycheproof_holds_for_proofs_and_tokens() {
    let vectors = include_str!("../../../vectors/data/ecdsa_p1363.json");
    let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
    for vector in &vectors {
        let bytes = |name: &str| {
            let hex = vector[name].as_str().unwrap();
            let digits = (0..hex.len()).step_by(2).map(|i| &hex[i..i + 2]);
            let bytes: Vec<u8> = digits
                .map(|digits| u8::from_str_radix(digits, 16).unwrap())
                .collect();
            bytes
        };
        let (key, message, signature) = (bytes("key"), bytes("msg"), bytes("sig"));
        let valid = vector["result"] == "valid";
        let public = PublicKey::try_from(&key[..]).unwrap();
        let decoded = Signature::from_bytes(&signature);
        let proved = decoded.is_ok_and(|signature| crate::connection::signed(&public, &message, &signature));
        assert_eq!(proved, valid, "proof, tcId {}", vector["id"]);
        let token = to_base64url(&signature);
        let key = DecodingKey::from_ec_der(&key);
        let verified = jsonwebtoken::crypto::verify(&token, &message, &key, Algorithm::ES256);
        assert_eq!(verified.unwrap_or(false), valid, "token, tcId {}", vector["id"]);
    }
    assert_eq!(vectors.len(), 262);
}
