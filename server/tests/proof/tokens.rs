//! Forged tokens, through the real routes. The tests know the server's key file, so that they can sign
//! whatever they like with the right key; and keys are changed under a living database.

use crate::common::{
    Key,
    process::{Answer, Place, Server, delivered},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::Signer},
};
use rly_protocol::{
    ErrorCode,
    api::{Registered, Shared},
    frame::{ClientFrame, Proof, ServerFrame},
    from_base64url, to_base64url,
};
use serde_json::json;
use sha2::Sha256;
use std::{fs, path::Path};

const SECRET: [u8; 32] = [0x42; 32];

/// The server's signing key, derived as `crates/relay/src/keys.rs` says.
fn signing_key(secret: &[u8; 32]) -> SigningKey {
    let root = Hkdf::<Sha256>::new(None, secret);
    let mut counter = 0;
    loop {
        let mut bytes = [0; 32];
        root.expand(&[b"rly server sign v1", &[counter][..]].concat(), &mut bytes)
            .unwrap();
        match SecretKey::from_slice(&bytes) {
            Ok(key) => return key.into(),
            Err(_) => counter += 1,
        }
    }
}

/// A token with this head and these claims, as they are written here.
fn signed(key: &SigningKey, head: &str, claims: &str) -> String {
    let signed = format!(
        "{}.{}",
        to_base64url(head.as_bytes()),
        to_base64url(claims.as_bytes())
    );
    let signature: Signature = key.sign(signed.as_bytes());
    let signature = signature.normalize_s().unwrap_or(signature);
    format!("{signed}.{}", to_base64url(&signature.to_bytes()))
}

fn parts(token: &str) -> (String, String, Vec<u8>) {
    let text = |part: &str| String::from_utf8(from_base64url(part).unwrap()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    (text(parts[0]), text(parts[1]), from_base64url(parts[2]).unwrap())
}

fn with_key(place: &Place, file: &Path) -> Server {
    place.start_with(|command| {
        command
            .env("RLY_KEY_FILE", file)
            .env("RLY_TRUSTED_PROXIES", "127.0.0.1");
    })
}

async fn share(server: &Server, token: &str) -> Answer {
    let body = json!({"address_token": token, "card": "Y2FyZA", "ttl_seconds": 3600});
    server.post("/api/share_contact", &body).await
}

#[tokio::test]
async fn forged_tokens_are_refused_by_the_routes() {
    let place = Place::new();
    let file = place.path().join("key");
    fs::write(&file, SECRET).unwrap();
    let server = with_key(&place, &file);
    let mailbox = server.register(&Key::generate()).await;
    let Shared { invite, .. } = server.share(&mailbox, b"card").await;

    let key = signing_key(&SECRET);
    let other = signing_key(&[0x43; 32]);
    let (head, claims, signature) = parts(&invite);
    let (a_head, a_claims, _) = parts(&mailbox.address_token);
    assert_eq!(head, r#"{"typ":"i","alg":"ES256"}"#);
    // The tests can sign as the server does: what follows fails for what is in it.
    let probe = server.share(&mailbox, b"probe").await.invite;
    let (_, probe_claims, _) = parts(&probe);
    server
        .imported(&signed(&key, &head, &probe_claims), &Key::generate())
        .await;

    let encoded = |text: &str| to_base64url(text.as_bytes());
    let (head64, claims64) = (encoded(&head), encoded(&claims));
    let hmac = |head: &str, secret: &[u8]| {
        let signed = format!("{}.{claims64}", encoded(head));
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(secret).unwrap();
        mac.update(signed.as_bytes());
        format!("{signed}.{}", to_base64url(&mac.finalize().into_bytes()))
    };
    let public = key.verifying_key().to_encoded_point(false);
    let hs256 = r#"{"typ":"i","alg":"HS256"}"#;
    let none = encoded(r#"{"typ":"i","alg":"none"}"#);
    let exp = claims.split_once(r#""exp":"#).unwrap().1.trim_end_matches('}');
    let change = |from: &str, to: &str| {
        let changed = claims.replace(from, to);
        assert_ne!(changed, claims, "{from}");
        signed(&key, &head, &changed)
    };
    let exp_is = |value: &str| change(&format!(r#""exp":{exp}"#), &format!(r#""exp":{value}"#));
    let high = {
        let low = Signature::from_slice(&signature).unwrap();
        let (r, s) = low.split_scalars();
        let high = Signature::from_scalars(r, -s).unwrap();
        format!("{head64}.{claims64}.{}", to_base64url(&high.to_bytes()))
    };
    let der = Signature::from_slice(&signature).unwrap().to_der();
    let mut forged = vec![
        ("alg none, no signature", format!("{none}.{claims64}.")),
        (
            "alg none, its signature",
            format!("{none}.{claims64}.{}", to_base64url(&signature)),
        ),
        (
            "alg NoNe",
            format!("{}.{claims64}.", encoded(r#"{"typ":"i","alg":"NoNe"}"#)),
        ),
        ("no alg", signed(&key, r#"{"typ":"i"}"#, &claims)),
        ("HS256 with the public key", hmac(hs256, public.as_bytes())),
        (
            "HS256 with the public key, compressed",
            hmac(hs256, key.verifying_key().to_encoded_point(true).as_bytes()),
        ),
        (
            "HS256 with the public key in base64url",
            hmac(hs256, to_base64url(public.as_bytes()).as_bytes()),
        ),
        ("HS256 under ES256's name", hmac(&head, public.as_bytes())),
        (
            "ES384's name",
            signed(&key, r#"{"typ":"i","alg":"ES384"}"#, &claims),
        ),
        ("another server's key", signed(&other, &head, &claims)),
        (
            "another server's key, in the head",
            signed(&other, r#"{"typ":"i","alg":"ES256","jwk":{"kty":"EC"}}"#, &claims),
        ),
        (
            "a link to another server's key",
            signed(
                &other,
                r#"{"typ":"i","alg":"ES256","jku":"https://example.org/k"}"#,
                &claims,
            ),
        ),
        ("the higher s", high),
        (
            "a DER signature",
            format!("{head64}.{claims64}.{}", to_base64url(der.as_bytes())),
        ),
        (
            "zeros for a signature",
            format!("{head64}.{claims64}.{}", to_base64url(&[0; 64])),
        ),
        ("typ JWT", signed(&key, r#"{"typ":"JWT","alg":"ES256"}"#, &claims)),
        ("typ of the other token", signed(&key, &a_head, &claims)),
        ("no typ", signed(&key, r#"{"alg":"ES256"}"#, &claims)),
        (
            "typ twice",
            signed(&key, r#"{"typ":"a","typ":"i","alg":"ES256"}"#, &claims),
        ),
        (
            "alg twice",
            signed(&key, r#"{"typ":"i","alg":"none","alg":"ES256"}"#, &claims),
        ),
        ("the other token", mailbox.address_token.clone()),
        ("the other token's claims", signed(&key, &head, &a_claims)),
        ("exp as a string", exp_is(&format!("\"{exp}\""))),
        ("exp as a fraction", exp_is(&format!("{exp}.5"))),
        ("exp below zero", exp_is("-1")),
        ("exp beyond 64 bits", exp_is("99999999999999999999")),
        ("exp null", exp_is("null")),
        ("no exp", change(&format!(r#","exp":{exp}"#), "")),
        ("exp twice", exp_is(&format!("1,\"exp\":{exp}"))),
        (
            "jti twice",
            change(r#"{"jti":"#, r#"{"jti":"AAAAAAAAAAAAAAAAAAAAAA","jti":"#),
        ),
        ("a claim more", change(r#"{"jti":"#, r#"{"nbf":0,"jti":"#)),
        ("claims in a list", signed(&key, &head, &format!("[{claims}]"))),
        ("another address", change(r#""a":""#, r#""a":"AAAA"#)),
        ("four parts", format!("{invite}.AAAA")),
        ("two parts", format!("{head64}.{claims64}")),
        ("padding", format!("{invite}==")),
        ("a blank before", format!(" {invite}")),
        ("a line's end after", format!("{invite}\n")),
        ("too long", format!("{invite}{}", "A".repeat(600))),
        ("nothing", String::new()),
    ];
    let whole = to_base64url(&signature);
    for length in 0..signature.len() {
        forged.push((
            "a cut signature",
            format!("{head64}.{claims64}.{}", to_base64url(&signature[..length])),
        ));
    }
    forged.push((
        "a longer signature",
        format!(
            "{head64}.{claims64}.{}",
            to_base64url(&[&signature[..], &[0]].concat())
        ),
    ));
    forged.push((
        "the last character cut",
        format!("{head64}.{claims64}.{}", &whole[..whole.len() - 1]),
    ));
    for (n, (what, token)) in forged.iter().enumerate() {
        // Past a burst of 200 one peer has to wait.
        let peer = format!("192.0.2.{}", n / 50);
        let body = json!({"invite": token, "claim_key": Key::generate().json()});
        let answer = server.post_as(&peer, "/api/import_contact", &body).await;
        assert_eq!(answer.code(), ErrorCode::InviteInvalid, "{what}");
    }
    // An end that is over, rightly signed.
    let over = exp_is("1000000000");
    assert_eq!(
        server.import(&over, &Key::generate()).await.code(),
        ErrorCode::InviteExpired
    );
    // A longer life than the store knows of does not help either: the store decides.
    for token in [
        invite.as_str(),
        "",
        &a_claims,
        &signed(&other, &a_head, &a_claims),
        &signed(&key, &head, &a_claims),
        &signed(&key, r#"{"typ":"JWT","alg":"ES256"}"#, &a_claims),
        &signed(&key, &a_head, &a_claims.replacen('{', r#"{"a":"x","#, 1)),
        &signed(&key, &a_head, r#"{"a":7}"#),
        &signed(&key, &a_head, "{}"),
        &format!(
            "{}.{}.",
            encoded(r#"{"typ":"a","alg":"none"}"#),
            encoded(&a_claims)
        ),
    ] {
        assert_eq!(
            share(&server, token).await.code(),
            ErrorCode::TokenInvalid,
            "{token}"
        );
    }

    // None of all that has used it up. Once it is used, it stays so: replayed, and signed anew.
    let claimant = Key::generate();
    server.imported(&invite, &claimant).await;
    for token in [&invite, &signed(&key, &head, &claims), &exp_is("9999999999")] {
        assert_eq!(
            server.import(token, &Key::generate()).await.code(),
            ErrorCode::InviteUsed
        );
    }
    server.imported(&invite, &claimant).await;
    assert!(
        !server.log().contains("panicked") && !server.log().contains("ERROR"),
        "{}",
        server.log()
    );
}

/// What was made with the key before, by a server that has it.
struct Made {
    mailbox: Registered,
    reader: Key,
    invite: String,
    ticket: Proof,
}

async fn make(server: &Server) -> Made {
    let reader = Key::generate();
    let mailbox = server.register(&reader).await;
    let invite = server.share(&mailbox, b"card").await.invite;
    let mut socket = server.socket().await;
    socket.ask_to_read(1, &reader, &mailbox).await.unwrap();
    let Some(ServerFrame::Subscribed { ticket, .. }) = socket.next().await else {
        panic!("not subscribed");
    };
    Made {
        mailbox,
        reader,
        invite,
        ticket: Proof::Ticket { ticket },
    }
}

impl Made {
    /// Its tokens and its ticket are taken.
    async fn works(&self, server: &Server) {
        let answer = share(server, &self.mailbox.address_token).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut socket = server.socket().await;
        let subscribe = ClientFrame::Subscribe {
            req: 1,
            queue: self.mailbox.queue,
            proof: self.ticket.clone(),
        };
        socket.send(subscribe).await;
        assert!(matches!(
            socket.next().await,
            Some(ServerFrame::Subscribed { .. })
        ));
        server.imported(&self.invite, &Key::generate()).await;
        delivered(socket.next().await);
    }
}

#[tokio::test]
async fn keys_are_changed_and_what_the_old_ones_made_still_works() {
    let place = Place::new();
    let name = |n: u8| {
        let file = place.path().join(format!("key{n}"));
        fs::write(&file, [n; 32]).unwrap();
        file
    };
    let (first, second, third) = (name(1), name(2), name(3));
    let start = |key: &Path, old: &[&Path]| {
        let list: Vec<&str> = old.iter().map(|path| path.to_str().unwrap()).collect();
        let (key, list) = (key.to_owned(), list.join(","));
        move |command: &mut std::process::Command| {
            command.env("RLY_KEY_FILE", key).env("RLY_OLD_KEY_FILES", list);
        }
    };
    let server = place.start_with(start(&first, &[]));
    let (one, reader) = (make(&server).await, Key::generate());
    let kept = server.register(&reader).await;
    server.kill();

    // Another key alone is another server's.
    let line = place.refused(start(&second, &[]));
    assert!(
        line.contains("not the one that this database was made with"),
        "{line}"
    );
    let line = place.refused(start(&second, &[&third]));
    assert!(
        line.contains("not the one that this database was made with"),
        "{line}"
    );
    // A file that is not there, or not a key, is named.
    let short = place.path().join("short");
    fs::write(&short, [1; 31]).unwrap();
    assert!(
        place
            .refused(start(&second, &[&short]))
            .contains("short does not hold exactly 32 bytes")
    );
    assert!(
        place
            .refused(start(&second, &[Path::new("/nowhere/key")]))
            .contains("/nowhere/key")
    );

    let server = place.start_with(start(&second, &[&first]));
    one.works(&server).await;
    let two = make(&server).await;
    server.kill();
    // The database belongs to the second one now.
    let line = place.refused(start(&first, &[]));
    assert!(
        line.contains("not the one that this database was made with"),
        "{line}"
    );

    let server = place.start_with(start(&third, &[&second, &first]));
    two.works(&server).await;
    // Reader keys are people's: they have nothing to do with it.
    server.socket().await.subscribe(&reader, &kept).await;
    server.socket().await.subscribe(&one.reader, &one.mailbox).await;
    let three = make(&server).await;
    server.kill();

    // Without the old ones, what they made is refused, and what the third one made is not.
    let server = place.start_with(start(&third, &[]));
    for token in [
        &one.mailbox.address_token,
        &two.mailbox.address_token,
        &kept.address_token,
    ] {
        assert_eq!(share(&server, token).await.code(), ErrorCode::TokenInvalid);
    }
    three.works(&server).await;
}

/// In the data folder: move the key away, name it as an old one, start.
#[tokio::test]
async fn the_key_in_the_data_folder_is_changed_by_moving_it() {
    let place = Place::new();
    let server = place.start();
    let made = make(&server).await;
    server.kill();
    let (key, old) = (place.data().join("server.key"), place.data().join("server.key.1"));
    fs::rename(&key, &old).unwrap();
    assert!(place.refused(|_| {}).contains("is missing"));
    let server = place.start_with(|command| {
        command.env("RLY_OLD_KEY_FILES", &old);
    });
    made.works(&server).await;
    assert_ne!(fs::read(&key).unwrap(), fs::read(&old).unwrap());
}
