//! Connections that dawdle, each in one of five ways, while clients come and go.

use std::io::{ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, sleep_until};

use super::figures::{Tally, compare, facts};
use super::http::{HANG, Line};
use super::person::Person;
use super::server::Server;

const CONNECTIONS: u16 = 5_000;
/// Addresses that they come from: 127.0.1.0 and so on, so that ports are no bottleneck.
const SOURCES: u16 = 50;
const BYTES_EVERY: Duration = Duration::from_secs(1);
/// Before one that was dropped comes back.
const BACK_AFTER: Duration = Duration::from_millis(100);
const CLIENTS: u32 = 20;
/// Each client calls once a second, and in so many seconds it registers once and logs in once: together they stay far
/// below what can be hashed.
const ROUND: u32 = 40;
const QUIET: Duration = Duration::from_secs(30);
const RAMP: Duration = Duration::from_secs(5);
const REQUEST: &str = "GET /health/live HTTP/1.1\r\nHost: siege\r\n\r\n";

#[derive(Clone, Copy)]
enum Way {
    /// Connects and says nothing.
    Silent,
    /// A head without an end.
    Head,
    /// A whole head, and a body that takes an hour.
    Body,
    /// A request and its answer, and then a second head without an end.
    SecondHead,
    /// Requests whose answers it never reads.
    Unread,
}

impl Way {
    const ALL: [Self; 5] = [Self::Silent, Self::Head, Self::Body, Self::SecondHead, Self::Unread];
}

/// What the slow ones have come to.
#[derive(Default)]
struct Held {
    /// Open at this moment, by way.
    now: [AtomicUsize; 5],
    /// Ended by the server, by way.
    dropped: [AtomicUsize; 5],
    /// Attempts to connect that failed.
    refused: AtomicUsize,
}

pub(crate) async fn run(seconds: u32) -> Vec<String> {
    let mut server = Server::start(true).await;
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let mut client = Person::new(Line::renewed(server.address), format!("192.0.2.{n}"), format!("{n}@example.com"));
        assert_eq!(client.register().await.unwrap().status, 201, "registering works");
        clients.push(client);
    }
    let length = Duration::from_secs(seconds.into());
    let (mut without, mut with) = (Calls::default(), Calls::default());
    clients = round(clients, "quiet", QUIET.min(length), &mut without).await;
    let files_before = server.open_files();

    let held = Arc::new(Held::default());
    let mut attack = JoinSet::new();
    for n in 0..CONNECTIONS {
        attack.spawn(dawdle(n, server.address, Arc::clone(&held)));
    }
    eprintln!("{CONNECTIONS} slow connections are coming");
    sleep(RAMP).await;
    let calling = tokio::spawn(async move {
        drop(round(clients, "slow", length, &mut with).await);
        with
    });
    let rows = watch(&server, &held, length).await;
    let with = calling.await.unwrap();
    attack.shutdown().await;

    println!(
        "{CONNECTIONS} slow connections for {seconds} s; {CLIENTS} clients with a new connection for each call.\n"
    );
    println!(
        "| second | held | silent | head | body | second head | unread | server's open files | memory |\n\
         |--:|--:|--:|--:|--:|--:|--:|--:|--:|\n{rows}"
    );
    let quiet_and_slow = [("sign in", 0), ("refresh", 1), ("me", 2)].map(|(name, n)| (name, &without.0[n], &with.0[n]));
    compare("slow", &quiet_and_slow);
    let dropped = held.dropped.each_ref().map(|number| number.load(Ordering::Relaxed).to_string()).join(", ");
    facts(
        "server",
        &[
            ("open files before", &files_before),
            ("memory, most ever", &server.megabytes("VmHWM")),
            ("memory allowed", &Server::memory_limit()),
            ("dropped: silent, head, body, second head, unread", &dropped),
            ("attempts to connect that failed", &held.refused.load(Ordering::Relaxed)),
        ],
    );

    let mut broken = server.complaints();
    for (name, without, with) in quiet_and_slow {
        broken
            .extend(without.others(&["200", "201"]).into_iter().map(|found| format!("{name}, nothing else: {found}")));
        broken.extend(with.others(&["200", "201"]).into_iter().map(|found| format!("{name}: {found}")));
    }
    broken
}

/// One line each five seconds.
async fn watch(server: &Server, held: &Held, length: Duration) -> String {
    let (started, mut rows) = (Instant::now(), String::new());
    let mut ticks = interval(Duration::from_secs(5));
    while started.elapsed() < length {
        ticks.tick().await;
        let now = held.now.each_ref().map(|number| number.load(Ordering::Relaxed));
        let row = format!(
            "| {} | {} | {} | {} | {} |\n",
            started.elapsed().as_secs(),
            now.iter().sum::<usize>(),
            now.map(|number| number.to_string()).join(" | "),
            server.open_files(),
            server.megabytes("VmRSS")
        );
        eprint!("{row}");
        rows.push_str(&row);
    }
    rows
}

/// Registers and logins, refreshes, and calls of me.
#[derive(Default)]
struct Calls([Tally; 3]);

/// Each client calls once a second, at moments fixed beforehand.
async fn round(clients: Vec<Person>, name: &'static str, length: Duration, calls: &mut Calls) -> Vec<Person> {
    let started = Instant::now();
    let mut calling = JoinSet::new();
    for (n, mut client) in (0..CLIENTS).zip(clients) {
        calling.spawn(async move {
            let (mut calls, mut signed_in_at) = (Calls::default(), started);
            for second in 0.. {
                let due = started + Duration::from_secs(1) * n / CLIENTS + Duration::from_secs(1) * second;
                if due >= started + length {
                    break;
                }
                // A device that signs in does nothing else meanwhile.
                if due < signed_in_at {
                    continue;
                }
                if started.elapsed() > length + HANG {
                    // Calls before it hung for so long that its time is over.
                    calls.0[2].add_after(due.elapsed(), &Err(ErrorKind::TimedOut.into()));
                    continue;
                }
                sleep_until(due.into()).await;
                match (second + n * ROUND / CLIENTS) % ROUND {
                    7 => {
                        client.email = format!("{name}{second}of{n}@example.com");
                        calls.0[0].add(due, &client.register().await);
                        signed_in_at = Instant::now();
                    }
                    27 => {
                        calls.0[0].add(due, &client.login().await);
                        signed_in_at = Instant::now();
                    }
                    turn if turn % 2 == 0 => calls.0[1].add(due, &client.refresh().await),
                    _ => calls.0[2].add(due, &client.me().await),
                }
            }
            (client, calls)
        });
    }
    let mut clients = Vec::new();
    while let Some(joined) = calling.join_next().await {
        let (client, made) = joined.unwrap();
        clients.push(client);
        for (calls, made) in calls.0.iter_mut().zip(made.0) {
            calls.append(made);
        }
    }
    clients
}

/// One slow connection, opened anew whenever the server ends it.
async fn dawdle(n: u16, server: SocketAddr, held: Arc<Held>) {
    let place = usize::from(n) % Way::ALL.len();
    // Not all in one instant: the server has to accept the clients' connections meanwhile.
    sleep(RAMP / 2 * u32::from(n) / u32::from(CONNECTIONS)).await;
    loop {
        match connect(n, server).await {
            Ok(stream) => {
                held.now[place].fetch_add(1, Ordering::Relaxed);
                drop(hold(stream, Way::ALL[place]).await);
                held.now[place].fetch_sub(1, Ordering::Relaxed);
                held.dropped[place].fetch_add(1, Ordering::Relaxed);
            }
            Err(_refused) => {
                held.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        sleep(BACK_AFTER).await;
    }
}

async fn connect(n: u16, server: SocketAddr) -> Result<TcpStream> {
    let [high, low] = (n % SOURCES).to_be_bytes();
    let socket = TcpSocket::new_v4()?;
    // Small, so that answers that are not read soon stay with the server.
    socket.set_recv_buffer_size(4_096)?;
    socket.bind((Ipv4Addr::new(127, 0, high + 1, low), 0).into())?;
    socket.connect(server).await
}

/// Returns when the server has ended the connection.
async fn hold(mut stream: TcpStream, way: Way) -> Result<()> {
    match way {
        Way::Silent => while stream.read(&mut [0; 512]).await? > 0 {},
        Way::Head => drip(stream, "GET /health/live HTTP/1.1\r\nHost: siege\r\nX-Slow: ").await?,
        Way::Body => {
            let head = "POST /api/auth/login HTTP/1.1\r\nHost: siege\r\nContent-Type: application/json\r\nContent-Length: 3600\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            drip(stream, "{\"email\": \"").await?;
        }
        Way::SecondHead => {
            stream.write_all(REQUEST.as_bytes()).await?;
            if stream.read(&mut [0; 2_048]).await? == 0 {
                return Ok(());
            }
            drip(stream, "GET /health/live HTTP/1.1\r\nHost: siege\r\nX-Slow: ").await?;
        }
        Way::Unread => loop {
            // Less and less fits, and at last nothing.
            stream.write_all(REQUEST.as_bytes()).await?;
            sleep(BYTES_EVERY).await;
        },
    }
    Ok(())
}

/// Sends a text and then `a` for ever, a byte a second, and reads what the server says to that.
async fn drip(stream: TcpStream, text: &str) -> Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let dripping = async {
        for byte in text.bytes().chain(std::iter::repeat(b'a')) {
            writer.write_all(&[byte]).await?;
            sleep(BYTES_EVERY).await;
        }
        Ok(())
    };
    let listening = async {
        while reader.read(&mut [0; 512]).await? > 0 {}
        Ok(())
    };
    tokio::select! { ended = dripping => ended, ended = listening => ended }
}
