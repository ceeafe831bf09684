//! Tokens nobody issued, in large numbers.

use std::sync::Arc;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use crate::support::{Anonymous, Dice, TestApp, TestDatabase};

const EACH: u64 = 50_000;
const TASKS: u64 = 8;

fn forged_refresh_token(dice: &mut Dice, genuine: &str) -> String {
    let body = genuine.strip_prefix("rt1_").unwrap();
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(body).unwrap();
    match dice.below(6) {
        0 => format!("rt1_{}", BASE64_URL_SAFE_NO_PAD.encode(dice.bytes(85))),
        1 => {
            for _ in 0..=dice.below(4) {
                let at = dice.below(bytes.len());
                bytes[at] ^= 1 << dice.below(8);
            }
            // Flipping one bit twice would give the genuine token back.
            bytes[84] ^= u8::from(BASE64_URL_SAFE_NO_PAD.encode(&bytes) == body);
            format!("rt1_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
        }
        2 => genuine[..dice.below(genuine.len())].to_owned(),
        3 => format!("{genuine}{}", BASE64_URL_SAFE_NO_PAD.encode(dice.bytes(1))),
        4 => {
            let end = 1 + dice.below(36);
            let fresh = dice.bytes(end);
            bytes[..end].copy_from_slice(&fresh);
            format!("rt1_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
        }
        _ => {
            let count = dice.below(200);
            String::from_utf8_lossy(&dice.bytes(count)).into_owned()
        }
    }
}

fn forged_access_token(dice: &mut Dice, genuine: &str) -> String {
    let parts: Vec<&str> = genuine.split('.').collect();
    match dice.below(5) {
        0 => {
            let at = dice.below(genuine.len());
            let other = char::from(b"AZaz09-_."[dice.below(9)]);
            let changed = format!("{}{other}{}", &genuine[..at], &genuine[at + 1..]);
            if changed == genuine { format!("{genuine}x") } else { changed }
        }
        1 => format!("{}.{}.{}", parts[0], parts[1], BASE64_URL_SAFE_NO_PAD.encode(dice.bytes(32))),
        2 => {
            let header =
                ["{\"alg\":\"none\"}", "{\"alg\":\"HS256\"}", "{\"alg\":\"RS256\",\"typ\":\"JWT\"}"][dice.below(3)];
            let signature = ["", parts[2]][dice.below(2)];
            format!("{}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(header), parts[1])
        }
        3 => {
            let mut claims = BASE64_URL_SAFE_NO_PAD.decode(parts[1]).unwrap();
            let at = dice.below(claims.len());
            claims[at] ^= 1 << dice.below(8);
            format!("{}.{}.{}", parts[0], BASE64_URL_SAFE_NO_PAD.encode(claims), parts[2])
        }
        _ => {
            let count = 1 + dice.below(300);
            BASE64_URL_SAFE_NO_PAD.encode(dice.bytes(count))
        }
    }
}

async fn each_is_401(caller: Anonymous, access: Arc<str>, refresh: Arc<str>, seed: u64) {
    let mut dice = Dice(seed);
    for _ in 0..EACH / TASKS {
        let forged = forged_refresh_token(&mut dice, &refresh);
        let answer = caller.refresh(&forged).await;
        let code = if forged.is_empty() { "refresh_token_missing" } else { "refresh_token_invalid" };
        assert_eq!((answer.status.as_u16(), answer.text("code")), (401, code), "{forged:?}");

        let forged = forged_access_token(&mut dice, &access);
        let answer = caller.me(&forged).await;
        assert_eq!((answer.status.as_u16(), answer.text("code")), (401, "access_token_invalid"), "{forged:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_hundred_thousand_forged_tokens_open_nothing_ask_nothing_and_end_nothing() {
    // What a server does by itself after half a minute would be counted too.
    let settings = [("RUST_LOG", "warn"), ("CLAVIGER__SESSIONS__SWEEP_EVERY", "0s")];
    let app = TestApp::on(TestDatabase::counting().await, &settings).await;
    let mut account = app.register("ada@example.com").await;
    let (access, refresh) = (Arc::from(account.access_token.as_str()), Arc::from(account.refresh_token.as_str()));
    app.database.statements().await;

    // So many answers are not held against the document of the API each.
    let caller = Anonymous::at(app.address);
    let tasks: Vec<_> = (0..TASKS)
        .map(|seed| tokio::spawn(each_is_401(caller.clone(), Arc::clone(&access), Arc::clone(&refresh), seed)))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }

    assert_eq!(app.database.statements().await, 0);
    account.refresh().await;
    assert_eq!(account.me().await.status, 200);
}
