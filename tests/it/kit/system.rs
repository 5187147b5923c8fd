//! What a scenario asks of the kernel: descriptors for thousands of connections, a process that may
//! not use io_uring, one that is given sockets as systemd gives them.
//!
//! Knows nothing of what the process does with them.
#![expect(unsafe_code, reason = "setrlimit, seccomp and dup2 have no safe wrapper")]

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Raises the soft limit of descriptors to `wanted`, for this process and those it starts.
pub fn allow_descriptors(wanted: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills the struct it is given and keeps no pointer to it.
    let rc = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert_eq!(rc, 0, "{}", io::Error::last_os_error());
    assert!(limit.rlim_max >= wanted, "needs {wanted} descriptors: raise `ulimit -Hn`");
    if limit.rlim_cur < wanted {
        limit.rlim_cur = wanted;
        // SAFETY: the call only reads the struct.
        let rc = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        assert_eq!(rc, 0, "{}", io::Error::last_os_error());
    }
}

/// Has the command run where io_uring_setup is answered EPERM, as by a container's seccomp profile.
pub fn deny_io_uring(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only prctl is called, which is a plain system call; nothing is
    // allocated and no lock is taken.
    unsafe { command.pre_exec(install_filter) }
}

fn install_filter() -> io::Result<()> {
    const EPERM: u32 = libc::EPERM.cast_unsigned();
    let setup = u32::try_from(libc::SYS_io_uring_setup).map_err(|_| io::ErrorKind::Unsupported)?;
    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap_or(u16::MAX),
        jt,
        jf,
        k,
    };
    let mut filter = [
        // The number of the system call is the first word of seccomp_data.
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, setup),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | EPERM),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let len = u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: no_new_privs takes plain numbers; the filter's pointer is to an array that outlives
    // the call, which copies it.
    let rc = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has `sh` start the command's own arguments as systemd would: these sockets from descriptor 3 on,
/// their names, and the process they are for.
pub fn activated(binary: &str, args: &[&str], sockets: &[&OwnedFd], names: &str) -> Command {
    let mut command = Command::new("sh");
    // `exec` keeps the pid that LISTEN_PID names.
    command.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\"", binary]).args(args);
    command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names);
    // Duplicates far above, so that none is overwritten before it has its place.
    let far = sockets.iter().map(|socket| {
        // SAFETY: the descriptor is open, and the duplicate is owned by nobody else.
        unsafe {
            let fd = libc::fcntl(socket.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 500);
            assert!(fd >= 0, "{}", io::Error::last_os_error());
            OwnedFd::from_raw_fd(fd)
        }
    });
    let far: Vec<OwnedFd> = far.collect();
    let place = move || {
        for (fd, socket) in (3..).zip(&far) {
            // SAFETY: dup2 is a plain system call; what it closes is a descriptor of the child's
            // that is to be closed by exec anyway. The duplicate is without CLOEXEC.
            if unsafe { libc::dup2(socket.as_raw_fd(), fd) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only dup2 is called; nothing is allocated, no lock is taken.
    unsafe { command.pre_exec(place) };
    command
}

/// A Python that can import these modules: the repository's own (`.ci/run` makes it) or the
/// system's. `None` is said, for a scenario that is skipped must not look like one that was run.
pub fn python_with(modules: &str) -> Option<&'static str> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python3");
    let has = |python: &&str| {
        let output = Command::new(python).args(["-c", &format!("import {modules}")]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = [own, "python3"].into_iter().find(has);
    if found.is_none() {
        eprintln!("skipped: no python3 here has {modules}");
    }
    found
}

/// A script of `tests/it/python` that is client and origin at once, running: it and its origin's
/// port. `None` where Python lacks the modules.
pub fn python_pair(script: &str, modules: &str) -> Option<(Child, SocketAddr)> {
    let script = format!("{}/tests/it/python/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut pair = Command::new(python_with(modules)?)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let mut port = String::new();
    let stdout = pair.stdout.take().expect("stdout is piped");
    BufReader::new(stdout).read_line(&mut port).expect("the origin's port");
    let port: u16 = port.trim().parse().expect("a port");
    Some((pair, ([127, 0, 0, 1], port).into()))
}

/// Tells the pair where the gateway is; all it tries must pass.
pub fn python_pair_passes(mut pair: Child, gateway: &str) {
    let mut stdin = pair.stdin.take().expect("stdin is piped");
    writeln!(stdin, "{gateway}").expect("it reads");
    let status = pair.wait().expect("ours");
    assert!(status.success(), "{status}");
}
