//! The build's resolver: an answer belongs to its question, gives out only addresses that mean nothing, and its rows
//! can be shown.

use egress::{HostRule, Policy, fuzzing};
use hickory_proto::{op::Message, rr::RData};
use std::sync::LazyLock;

static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy {
    hosts: vec![HostRule::host("pypi.org"), HostRule::host("files.example")],
    ..Policy::default()
});

pub(crate) fn run(bytes: &[u8]) {
    let (answer, rows) = fuzzing::resolve(bytes, &POLICY);
    for row in &rows {
        crate::is_harmless(row);
        assert!(row.len() < 400, "{row}");
    }
    let Some(bytes_of_answer) = answer else { return };
    // Nobody is flooded with help of ours: an answer is hardly longer than its question.
    assert!(bytes_of_answer.len() <= bytes.len() + 64, "{} for {}", bytes_of_answer.len(), bytes.len());
    let answer = Message::from_vec(&bytes_of_answer).unwrap();
    assert_eq!(bytes_of_answer[..2], bytes[..2]);
    for record in &answer.answers {
        let RData::A(address) = &record.data else { panic!("{record:?}") };
        assert!(matches!(address.octets(), [198, 18, 0, 1 | 2]), "{address:?}");
    }
}
