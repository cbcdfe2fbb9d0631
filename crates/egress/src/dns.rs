//! The build's resolver: an allowed name has an address, any other does not exist.
//!
//! The addresses (198.18.0.0/15, RFC 2544) mean nothing: inside the build every address leads to our listeners, and
//! the relay decides by the name that the connection itself carries.

use crate::{Policy, name, report::Refusal, report::Report};
use hickory_proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{RData, Record, RecordType},
};
use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    time::{sleep, timeout},
};

/// First address that is given out; the next ones follow in the order of the allow-list.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const TIME_TO_LIVE_SECONDS: u32 = 30;
/// Questions are small; longer ones are dropped.
const MAX_QUESTION_BYTES: usize = 1232;
const TCP_CONNECTIONS: usize = 16;
const TCP_TIMEOUT: Duration = Duration::from_secs(5);

/// The answer to one question as bytes; `None` for what is no question.
pub(crate) fn answer(question: &[u8], policy: &Policy, report: &Report) -> Option<Vec<u8>> {
    let message = Message::from_vec(question).ok()?;
    if message.metadata.message_type != hickory_proto::op::MessageType::Query {
        return None;
    }
    let mut answer = Message::response(message.metadata.id, message.metadata.op_code);
    answer.metadata.recursion_desired = message.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    let [query] = message.queries.as_slice() else {
        answer.metadata.response_code = ResponseCode::FormErr;
        return answer.to_vec().ok();
    };
    answer.add_query(query.clone());
    if message.metadata.op_code != OpCode::Query {
        answer.metadata.response_code = ResponseCode::NotImp;
        return answer.to_vec().ok();
    }
    let asked = query.name().to_ascii();
    let host = name::host(asked.as_bytes());
    if let Some(position) = host.as_deref().and_then(|host| policy.position(host)) {
        let offset = u32::try_from(position).unwrap_or(0);
        if query.query_type() == RecordType::A {
            let data = RData::A(Ipv4Addr::from_bits(FIRST_ADDRESS.to_bits() + offset).into());
            answer.add_answer(Record::from_rdata(query.name().clone(), TIME_TO_LIVE_SECONDS, data));
        }
    } else {
        answer.metadata.response_code = ResponseCode::NXDomain;
        let asked = asked.trim_end_matches('.').to_ascii_lowercase();
        // Reverse look-ups are how programs decorate their logs, not a wish to reach anything.
        let last = asked.rsplit('.').next().unwrap_or_default();
        if !matches!(last, "" | "arpa" | "localhost") {
            report.refuse(Refusal::Host(name::shown(asked.as_bytes())));
        }
    }
    answer.to_vec().ok()
}

/// Answers over UDP for ever.
pub(crate) async fn serve_udp(socket: UdpSocket, policy: Arc<Policy>, report: Arc<Report>) {
    let mut buffer = [0; MAX_QUESTION_BYTES];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        if let Some(answer) = answer(&buffer[..length], &policy, &report) {
            // A client that went away is no error of ours.
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// Answers over TCP (RFC 7766): a length before each message, several questions on one connection.
pub(crate) async fn serve_tcp(listener: TcpListener, policy: Arc<Policy>, report: Arc<Report>) {
    let places = Arc::new(Semaphore::new(TCP_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (policy, report) = (Arc::clone(&policy), Arc::clone(&report));
        tokio::spawn(async move {
            let _place = place;
            let _ = answer_stream(stream, &policy, &report).await;
        });
    }
}

async fn answer_stream(mut stream: TcpStream, policy: &Policy, report: &Report) -> io::Result<()> {
    loop {
        let length = usize::from(timeout(TCP_TIMEOUT, stream.read_u16()).await??);
        if length > MAX_QUESTION_BYTES {
            return Ok(());
        }
        let mut question = vec![0; length];
        timeout(TCP_TIMEOUT, stream.read_exact(&mut question)).await??;
        let Some(answer) = answer(&question, policy, report) else { return Ok(()) };
        let Ok(length) = u16::try_from(answer.len()) else { return Ok(()) };
        timeout(TCP_TIMEOUT, async {
            stream.write_u16(length).await?;
            stream.write_all(&answer).await
        })
        .await??;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostRule;
    use hickory_proto::{op::Query, rr::Name};
    use proptest::prelude::*;
    use std::sync::Mutex;

    fn ask(name: &str, kind: RecordType) -> (Message, Vec<String>) {
        let policy = Policy {
            hosts: vec![HostRule::host("pypi.org"), HostRule::host("files.example")],
            ..Policy::default()
        };
        let rows = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&rows);
        let report = Report::new(Box::new(move |row| sink.lock().unwrap().push(row.to_owned())));
        let mut message = Message::query();
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let answer = answer(&message.to_vec().unwrap(), &policy, &report).unwrap();
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!(answer.metadata.id, message.metadata.id);
        let rows = rows.lock().unwrap().clone();
        (answer, rows)
    }

    #[test]
    fn an_allowed_name_has_its_own_address_and_no_ipv6() {
        let (answer, rows) = ask("Files.Example.", RecordType::A);
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        assert_eq!(answer.answers[0].data, RData::A(Ipv4Addr::new(198, 18, 0, 2).into()));
        let (answer, _) = ask("files.example.", RecordType::AAAA);
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 0));
        assert!(rows.is_empty());
    }

    #[test]
    fn any_other_name_does_not_exist_and_is_written_into_the_run() {
        for name in ["evil.example.", "pypi.org.evil.example.", "xpypi.org.", "database."] {
            let (answer, rows) = ask(name, RecordType::A);
            assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name}");
            assert!(rows[0].contains(name.trim_end_matches('.')), "{rows:?}");
        }
    }

    #[test]
    fn a_reverse_lookup_does_not_exist_and_is_not_worth_a_row() {
        let (answer, rows) = ask("1.0.18.198.in-addr.arpa.", RecordType::PTR);
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
        assert!(rows.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            answer(&bytes, &Policy::default(), &Report::new(Box::new(|_| {})));
        }
    }
}
