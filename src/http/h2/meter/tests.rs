use std::time::Duration;

use proptest::prelude::*;

use super::*;

mod server;

const START: Tick = Tick(5_000_000_000);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut out = vec![len[1], len[2], len[3], kind, flags];
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

fn fresh() -> Meter {
    let mut meter = Meter::new(START);
    assert_eq!(meter.received(PREFACE, START), Ok(()));
    assert_eq!(meter.received(&frame(SETTINGS, 0, 0, &[0; 18]), START), Ok(()));
    meter
}

fn opens(n: usize) -> u32 {
    u32::try_from(2 * n + 1).expect("few streams")
}

/// Runs an attack as fast as it can; which abuse it was and after how many frames.
fn attack(
    mut step: impl FnMut(usize, &mut Meter) -> (usize, Result<(), AbuseKind>),
) -> (AbuseKind, usize) {
    let (mut meter, mut frames) = (fresh(), 0);
    for n in 0..1000 {
        let (count, verdict) = step(n, &mut meter);
        frames += count;
        if let Err(kind) = verdict {
            assert_eq!(
                meter.received(&[], START.after(Duration::from_secs(9))),
                Err(kind),
                "stays"
            );
            return (kind, frames);
        }
    }
    panic!("never told");
}

/// An attack of frames from the client only.
fn flood(frames: impl Fn(usize) -> Vec<Vec<u8>>) -> (AbuseKind, usize) {
    attack(|n, meter| {
        let frames = frames(n);
        let verdict = frames.iter().try_for_each(|frame| meter.received(frame, START));
        (frames.len(), verdict)
    })
}

#[test]
fn every_flood_is_told_by_its_name_within_200_frames() {
    let request = |n| frame(HEADERS, END_HEADERS | END_STREAM, opens(n), b"x");
    let upload = |n| frame(HEADERS, END_HEADERS, opens(n), b"x");
    type Step = Box<dyn Fn(usize) -> Vec<Vec<u8>>>;
    let floods: Vec<(AbuseKind, Step)> = vec![
        (
            AbuseKind::RapidReset,
            Box::new(move |n| vec![request(n), frame(RST_STREAM, 0, opens(n), &[0, 0, 0, 8])]),
        ),
        (
            AbuseKind::Continuation,
            Box::new(|n| match n {
                0 => vec![frame(HEADERS, 0, 1, b"x")],
                _ => vec![frame(CONTINUATION, 0, 1, b"x")],
            }),
        ),
        (
            AbuseKind::EmptyContinuation,
            Box::new(|n| match n {
                0 => vec![frame(HEADERS, 0, 1, b"x")],
                _ => vec![frame(CONTINUATION, 0, 1, b"")],
            }),
        ),
        (AbuseKind::Ping, Box::new(|_| vec![frame(PING, 0, 0, &[0; 8])])),
        (AbuseKind::Ping, Box::new(|_| vec![frame(PING, ACK, 0, &[0; 8])])),
        (AbuseKind::Settings, Box::new(|_| vec![frame(SETTINGS, 0, 0, &[])])),
        (AbuseKind::Settings, Box::new(|_| vec![frame(SETTINGS, ACK, 0, &[])])),
        (
            AbuseKind::EmptyData,
            Box::new(move |n| match n {
                0 => vec![upload(0)],
                _ => vec![frame(DATA, 0, 1, b"")],
            }),
        ),
        (
            AbuseKind::EmptyData,
            Box::new(move |n| match n {
                0 => vec![upload(0)],
                _ => vec![frame(DATA, PADDED, 1, &[200; 201])],
            }),
        ),
        (AbuseKind::Priority, Box::new(|_| vec![frame(PRIORITY, 0, 3, &[0; 5])])),
        (AbuseKind::Priority, Box::new(|_| vec![frame(PRIORITY_UPDATE, 0, 0, &[0; 8])])),
        (AbuseKind::WindowUpdate, Box::new(|_| vec![frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])])),
        (AbuseKind::Trailers, Box::new(move |_| vec![upload(0)])),
        (AbuseKind::Unknown, Box::new(|_| vec![frame(0x42, 0, 0, &[0; 100])])),
        (AbuseKind::Unknown, Box::new(|_| vec![frame(7, 0, 0, &[0; 8])])),
    ];
    for (kind, step) in floods {
        let (found, frames) = flood(step);
        assert_eq!(found, kind);
        assert!(frames < 200, "{}: {frames}", kind.name());
    }
}

#[test]
fn resets_we_are_made_to_send_are_told_within_200_frames() {
    let overflow = |code: u8| {
        attack(|n, meter| {
            let request = frame(HEADERS, END_HEADERS | END_STREAM, opens(n), b"x");
            let update = frame(WINDOW_UPDATE, 0, opens(n), &[0x7f, 0xff, 0xff, 0xff]);
            let verdict = meter.received(&[request, update].concat(), START);
            (
                2,
                verdict
                    .and_then(|()| meter.sent(&frame(RST_STREAM, 0, opens(n), &[0, 0, 0, code]))),
            )
        })
    };
    for code in [1, 3, 5, 6, 9] {
        let (kind, frames) = overflow(code);
        assert!(kind == AbuseKind::MadeReset && frames < 200, "{code}: {kind:?} {frames}");
    }
    // 100 streams that never end, and then more.
    let (kind, frames) = attack(|n, meter| {
        let verdict = meter.received(&frame(HEADERS, END_HEADERS, opens(n), b"x"), START);
        let refused =
            if n < 100 { Vec::new() } else { frame(RST_STREAM, 0, opens(n), &[0, 0, 0, 7]) };
        (1, verdict.and_then(|()| meter.sent(&refused)))
    });
    assert!(kind == AbuseKind::HalfOpen && frames < 200, "{kind:?} {frames}");
    // Resets that are not the client's doing are not counted: NO_ERROR, INTERNAL_ERROR, CANCEL.
    let mut meter = fresh();
    for code in [0, 2, 8].repeat(1000) {
        assert_eq!(meter.sent(&frame(RST_STREAM, 0, 1, &[0, 0, 0, code])), Ok(()));
    }
}

/// DATA byte by byte, as a client asks for it with windows of one byte.
#[test]
fn a_dribble_of_windows_is_told_within_200_frames() {
    let (kind, frames) = attack(|_, meter| {
        let verdict = meter.received(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), START);
        (1, verdict.and_then(|()| meter.sent(&frame(DATA, 0, 1, b"x"))))
    });
    assert!(kind == AbuseKind::WindowUpdate && frames < 200, "{kind:?} {frames}");
}

#[test]
fn clients_that_get_something_out_of_it_never_trip() {
    let mut meter = fresh();
    let mut now = START;
    // h2load with 100 streams, no time passing: a request, its window, a small response.
    for n in 0..5_000 {
        let request = frame(HEADERS, END_HEADERS | END_STREAM, opens(n), b"x");
        let window = frame(WINDOW_UPDATE, 0, opens(n), &[0, 0, 0, 42]);
        assert_eq!(meter.received(&[request, window.clone(), window].concat(), now), Ok(()));
        let head = frame(HEADERS, END_HEADERS, opens(n), b"x");
        let body = frame(DATA, END_STREAM, opens(n), &[b'x'; 42]);
        assert_eq!(meter.sent(&[head, body].concat()), Ok(()));
    }
    // A page of 100 streams is left, and the next one, after requests that were completed.
    for n in 5_000..5_200 {
        let reset = frame(RST_STREAM, 0, opens(n), &[0, 0, 0, 8]);
        let request = frame(HEADERS, END_HEADERS | END_STREAM, opens(n), b"x");
        assert_eq!(meter.received(&[request, reset].concat(), now), Ok(()));
    }
    // gRPC: a stream of small messages, each acknowledged twice, with a PING for each.
    for _ in 0..5_000 {
        assert_eq!(meter.sent(&frame(DATA, 0, 1, &[b'x'; 40])), Ok(()));
        let window = frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 40]);
        let ping = frame(PING, 0, 0, &[0; 8]);
        assert_eq!(meter.received(&[window.clone(), window, ping].concat(), now), Ok(()));
    }
    // A call that is cancelled every 50 ms for ten minutes, with keep-alive.
    now = now.after(Duration::from_secs(5));
    for n in 0..12_000 {
        now = now.after(Duration::from_millis(50));
        let request = frame(HEADERS, END_HEADERS, opens(6_000 + n), b"x");
        let reset = frame(RST_STREAM, 0, opens(6_000 + n), &[0, 0, 0, 8]);
        assert_eq!(meter.received(&[request, reset].concat(), now), Ok(()));
        if n % 200 == 0 {
            assert_eq!(meter.sent(&frame(PING, 0, 0, &[0; 8])), Ok(()));
            assert_eq!(meter.received(&frame(PING, ACK, 0, &[0; 8]), now), Ok(()));
        }
    }
}

/// What is under way is acknowledged all at once, by some frame by frame and to both windows.
#[test]
fn windows_for_what_was_sent_at_once_never_trip() {
    for (count, content, end) in [(100, 2, END_STREAM), (512, 16_384, 0)] {
        let mut meter = fresh();
        for n in 0..count {
            let request = frame(HEADERS, END_HEADERS | END_STREAM, opens(n), b"x");
            assert_eq!(meter.received(&request, START), Ok(()));
        }
        for n in 0..count {
            assert_eq!(meter.sent(&frame(DATA, end, opens(n), &vec![b'x'; content])), Ok(()));
        }
        for n in 0..count {
            let windows = [0, opens(n)].map(|on| frame(WINDOW_UPDATE, 0, on, &[0, 0, 0, 2]));
            assert_eq!(meter.received(&windows.concat(), START), Ok(()), "{n} of {count}");
        }
    }
}

#[test]
fn time_fills_a_budget_and_saves_nothing() {
    let pings = |meter: &mut Meter, now| {
        (0..).take_while(|_| meter.received(&frame(PING, 0, 0, &[0; 8]), now).is_ok()).count()
    };
    let (burst, rate) = bounds::H2_PINGS;
    assert_eq!(pings(&mut fresh(), START), burst as usize);
    assert_eq!(pings(&mut fresh(), START.after(Duration::from_secs(3600))), burst as usize);
    let mut meter = fresh();
    for _ in 0..burst {
        assert_eq!(meter.received(&frame(PING, 0, 0, &[0; 8]), START), Ok(()));
    }
    assert_eq!(pings(&mut meter, START.after(Duration::from_secs(1))), rate as usize);
}

#[test]
fn a_block_that_has_ended_is_forgotten() {
    let mut meter = fresh();
    for n in 0..100 {
        let mut bytes = frame(HEADERS, END_STREAM, opens(n), b"x");
        for _ in 1..bounds::H2_CONTINUATIONS.0 {
            bytes.extend(frame(CONTINUATION, 0, opens(n), b"x"));
        }
        bytes.extend(frame(CONTINUATION, END_HEADERS, opens(n), b"x"));
        assert_eq!(meter.received(&bytes, START), Ok(()));
    }
}

#[test]
fn names_are_distinct_and_a_meter_is_small() {
    let names: std::collections::HashSet<_> =
        AbuseKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), KINDS);
    assert!(size_of::<Meter>() <= 128, "{}", size_of::<Meter>());
    for kind in AbuseKind::ALL {
        assert!(kind.budget().0 < 200, "{}", kind.name());
    }
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![0u8..10, Just(PRIORITY_UPDATE), any::<u8>()];
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..20),
        proptest::collection::vec(Just(0u8), 200..300),
    ];
    let one = (kind, any::<u8>(), 0u32..20, payload)
        .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload));
    proptest::collection::vec(one, 0..400).prop_map(|all| all.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever the bytes, and however they come.
    #[test]
    fn the_verdict_does_not_depend_on_the_split(
        theirs in frames(),
        ours in frames(),
        cuts in proptest::collection::vec(1usize..40, 1..50),
    ) {
        let whole = [PREFACE, &theirs].concat();
        let (mut one, mut many) = (Meter::new(START), Meter::new(START));
        let sent = one.sent(&ours);
        let verdict = one.received(&whole, START);
        let mut sizes = cuts.into_iter().cycle();
        let mut found = Ok(());
        let mut rest = &ours[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(sizes.next().expect("a cycle")));
            found = many.sent(piece);
            rest = after;
        }
        prop_assert_eq!(found, sent);
        let mut rest = &whole[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(sizes.next().expect("a cycle")));
            found = many.received(piece, START);
            rest = after;
        }
        prop_assert_eq!(found, verdict);
        prop_assert_eq!(many.spent, one.spent);
    }
}
