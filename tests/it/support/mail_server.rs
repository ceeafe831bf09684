//! A mail server of the tests' own: as much of RFC 5321 as clients need, and the faults that real ones have.
//!
//! Written here, as the embeddable ones that are kept can neither answer 4xx when told to, nor fall silent, nor go away and
//! come back on the same port.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::wait_until;

/// How it behaves, until told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes what comes, but for recipients that begin with `later` (451) or `never` (550).
    Willing,
    /// Is not there: connections are refused, and those that were open are cut.
    Away,
    /// Takes connections and says nothing.
    Silent,
    /// Takes a mail and goes away before it says so.
    Forgetful,
}

/// How it protects the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    None,
    /// By STARTTLS.
    Later,
    /// From the first byte.
    Implicit,
}

/// A mail as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Headers and body, with line ends as `\n`, quoted-printable undone.
    pub(crate) text: String,
    pub(crate) encrypted: bool,
    /// Who had signed in, as `user:password`.
    pub(crate) user: Option<String>,
}

pub(crate) struct MailServer {
    pub(crate) port: u16,
    /// The authority that its certificate is from.
    authority: tempfile::NamedTempFile,
    mood: watch::Sender<Mood>,
    state: Arc<State>,
}

struct State {
    tls: Tls,
    acceptor: TlsAcceptor,
    received: Mutex<Vec<Received>>,
    connections: Mutex<usize>,
}

impl Received {
    /// The token of the link in it.
    pub(crate) fn token(&self) -> String {
        let text = self.text.split("token=").nth(1).unwrap_or_else(|| panic!("no link in {}", self.text));
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let head = self.text.split("\n\n").next().unwrap();
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
    }
}

impl MailServer {
    pub(crate) async fn start(tls: Tls) -> Self {
        let (acceptor, authority) = acceptor();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mood, moods) = watch::channel(Mood::Willing);
        let state = Arc::new(State { tls, acceptor, received: Mutex::default(), connections: Mutex::default() });
        let serving = serve(listener.into_std().unwrap(), moods, Arc::clone(&state));
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serving);
        });
        Self { port, authority, mood, state }
    }

    pub(crate) fn tls(&self) -> Tls {
        self.state.tls
    }

    pub(crate) fn ca_file(&self) -> &str {
        self.authority.path().to_str().unwrap()
    }

    pub(crate) fn be(&self, mood: Mood) {
        self.mood.send(mood).unwrap();
    }

    /// Everything that it has said it took, in order; a forgetful one also what it had not.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// How often somebody connected.
    pub(crate) fn connections(&self) -> usize {
        *self.state.connections.lock().unwrap()
    }

    /// Waits for the mails to an address, which must be so many.
    pub(crate) async fn mails_to(&self, address: &str, number: usize) -> Vec<Received> {
        let found = || self.received().into_iter().filter(|mail| mail.to == address).collect::<Vec<_>>();
        wait_until(&format!("{number} mails to {address} came"), async || found().len() >= number).await;
        assert_eq!(found().len(), number, "{:?}", found());
        found()
    }

    /// Waits for the one mail to an address that has this subject.
    pub(crate) async fn mail_about(&self, address: &str, subject: &str) -> Received {
        let find = || self.received().into_iter().find(|mail| mail.to == address && mail.header("Subject") == subject);
        wait_until(&format!("a mail to {address} about {subject} came"), async || find().is_some()).await;
        find().unwrap()
    }
}

/// A certificate for `localhost` from an authority that no system knows.
pub(super) fn acceptor() -> (TlsAcceptor, tempfile::NamedTempFile) {
    let authority_key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(parameters, authority_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    (TlsAcceptor::from(Arc::new(config)), file)
}

/// Until the server is dropped.
async fn serve(listener: std::net::TcpListener, mut moods: watch::Receiver<Mood>, state: Arc<State>) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(TcpListener::from_std(listener).unwrap());
    loop {
        let mood = *moods.borrow_and_update();
        if mood == Mood::Away {
            listener = None;
        } else if listener.is_none() {
            listener = Some(listen_again(address).await);
        }
        let accepting = async {
            match &listener {
                Some(listener) => listener.accept().await.unwrap().0,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = moods.changed() => if changed.is_err() { return },
            stream = accepting => {
                *state.connections.lock().unwrap() += 1;
                let (state, mut moods) = (Arc::clone(&state), moods.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        _broken = talk(stream, moods.clone(), &state) => {}
                        _away = moods.wait_for(|mood| *mood == Mood::Away) => {}
                    }
                });
            }
        }
    }
}

async fn listen_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_still_taken) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn talk(stream: TcpStream, moods: watch::Receiver<Mood>, state: &State) -> std::io::Result<()> {
    if *moods.borrow() == Mood::Silent {
        std::future::pending::<()>().await;
    }
    match state.tls {
        Tls::None => drop(Conversation::new(stream, false, moods, state).hold(true).await?),
        Tls::Implicit => {
            let stream = state.acceptor.accept(stream).await?;
            drop(Conversation::new(stream, true, moods, state).hold(true).await?);
        }
        Tls::Later => {
            if let Some(stream) = Conversation::new(stream, false, moods.clone(), state).hold(true).await? {
                let stream = state.acceptor.accept(stream).await?;
                drop(Conversation::new(stream, true, moods, state).hold(false).await?);
            }
        }
    }
    Ok(())
}

struct Conversation<'a, S> {
    stream: BufReader<S>,
    encrypted: bool,
    moods: watch::Receiver<Mood>,
    state: &'a State,
    user: Option<String>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Conversation<'a, S> {
    fn new(stream: S, encrypted: bool, moods: watch::Receiver<Mood>, state: &'a State) -> Self {
        Self { stream: BufReader::new(stream), encrypted, moods, state, user: None }
    }

    async fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await?;
        self.stream.flush().await
    }

    async fn hear(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Until the client leaves, or wants TLS: then the stream is given back.
    async fn hold(mut self, greet: bool) -> std::io::Result<Option<S>> {
        if greet {
            self.say("220 localhost ready").await?;
        }
        let (mut from, mut to) = (String::new(), String::new());
        loop {
            let line = self.hear().await?;
            if *self.moods.borrow() == Mood::Silent {
                std::future::pending::<()>().await;
            }
            let (verb, rest) = line.split_once([' ', ':']).unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    let tls = if self.state.tls == Tls::Later && !self.encrypted { "250-STARTTLS\r\n" } else { "" };
                    self.say(&format!("250-localhost\r\n{tls}250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN")).await?;
                }
                "STARTTLS" => {
                    self.say("220 go ahead").await?;
                    return Ok(Some(self.stream.into_inner()));
                }
                "AUTH" => {
                    let plain = BASE64_STANDARD.decode(rest.rsplit(' ').next().unwrap()).unwrap();
                    let plain = String::from_utf8(plain).unwrap().trim_start_matches('\0').replace('\0', ":");
                    let good = plain == "ada:hunter2";
                    self.user = good.then_some(plain);
                    self.say(if good { "235 welcome" } else { "535 who are you?" }).await?;
                }
                "MAIL" => {
                    from = address(rest);
                    self.say("250 ok").await?;
                }
                "RCPT" => {
                    to = address(rest);
                    let answer = if to.starts_with("later") {
                        "451 come back"
                    } else if to.starts_with("never") {
                        "550 no such mailbox"
                    } else {
                        "250 ok"
                    };
                    self.say(answer).await?;
                }
                "DATA" => {
                    self.say("354 go on").await?;
                    self.take(&from, &to).await?;
                    if *self.moods.borrow() == Mood::Forgetful {
                        return Ok(None);
                    }
                    self.say("250 taken").await?;
                }
                "QUIT" => {
                    self.say("221 bye").await?;
                    return Ok(None);
                }
                "NOOP" | "RSET" => self.say("250 ok").await?,
                _ => self.say("500 what?").await?,
            }
        }
    }

    async fn take(&mut self, from: &str, to: &str) -> std::io::Result<()> {
        let mut text = String::new();
        loop {
            let line = self.hear().await?;
            if line == "." {
                break;
            }
            text.push_str(line.strip_prefix('.').unwrap_or(&line));
            text.push('\n');
        }
        let mail = Received {
            from: from.to_owned(),
            to: to.to_owned(),
            text: plain(&text),
            encrypted: self.encrypted,
            user: self.user.clone(),
        };
        self.state.received.lock().unwrap().push(mail);
        Ok(())
    }
}

/// What stands in angle brackets.
fn address(text: &str) -> String {
    text.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}

/// Undoes quoted-printable, as far as ASCII goes.
fn plain(text: &str) -> String {
    let text = text.replace("=\n", "");
    let mut parts = text.split('=');
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                plain.push(char::from(byte));
                plain.push_str(&part[2..]);
            }
            None => plain.extend(["=", part]),
        }
    }
    plain
}
