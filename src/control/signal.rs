//! Signals, as a list of what to do.

use std::time::Duration;

use crossbeam_channel::{Receiver, select, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::clock;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    ReopenLogs,
    /// SIGTERM, SIGINT: drain. A second SIGINT: stop at once.
    Drain,
    /// SIGINT, told from SIGTERM because twice means now.
    Interrupt,
}

/// The signals of this process, in order of arrival.
pub struct Orders(Receiver<Order>);

// === impl Orders ===

impl Orders {
    /// Begins to listen. From here on SIGHUP does not end the process.
    ///
    /// # Errors
    /// When the handlers cannot be set.
    pub fn listen() -> std::io::Result<Orders> {
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1])?;
        let (told, orders) = unbounded();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in signals.forever() {
                let order = match signal {
                    SIGHUP => Order::Reload,
                    SIGUSR1 => Order::ReopenLogs,
                    SIGINT => Order::Interrupt,
                    _ => Order::Drain,
                };
                if told.send(order).is_err() {
                    return;
                }
            }
        })?;
        Ok(Orders(orders))
    }

    /// The next order.
    #[must_use]
    pub fn next(&self) -> Order {
        self.0.recv().unwrap_or(Order::Drain)
    }

    /// The next order, or the next of what others ask; what others ask ends before the signals do.
    pub fn next_or<T>(&self, asks: &Receiver<T>) -> Result<Order, T> {
        select! {
            recv(self.0) -> order => Ok(order.unwrap_or(Order::Drain)),
            recv(asks) -> ask => match ask {
                Ok(ask) => Err(ask),
                Err(_) => Ok(self.next()),
            },
        }
    }

    /// Whether an interrupt comes within `time`; other signals are too late to matter.
    #[must_use]
    pub fn interrupted_within(&self, time: Duration) -> bool {
        let until = clock::now().after(time);
        loop {
            match self.0.recv_timeout(until.since(clock::now())) {
                Ok(Order::Interrupt) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }
}
