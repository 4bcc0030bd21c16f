//! How an instance comes to serve: as the only one, or in the place of another.

use std::fs::File;
use std::path::PathBuf;

use tokio::sync::watch;

use super::StartError;
use super::signals::{Signals, Told};
use crate::admin::control::{Inheritance, Seat, SeatError, stand_by};
use crate::config::Control;
use crate::listener::Inherited;

/// What an instance has to begin with.
pub(super) enum Position {
    /// Without a control socket.
    Free,
    Seated(Seat),
    Heir(Inheritance),
}

impl Position {
    /// Takes the control socket. Only that somebody else has it keeps us from serving.
    pub(super) fn take(control: &Control) -> Result<Self, StartError> {
        let Some(path) = path(control) else { return Ok(Self::Free) };
        Seat::take(&path).map(Self::Seated).or_else(Self::without)
    }

    /// Waits until it is our turn. `None` when we were told to stop before. `stands` is as [`stand_by`] has it.
    pub(super) async fn join(
        control: &Control,
        signals: &mut Signals,
        stands: &watch::Sender<bool>,
    ) -> Result<Option<Self>, StartError> {
        let Some(path) = path(control) else { return Ok(Some(Self::Free)) };
        let mut waiting = std::pin::pin!(stand_by(&path, stands));
        loop {
            tokio::select! {
                inheritance = &mut waiting => return inheritance.map(Self::Heir).or_else(Self::without).map(Some),
                told = signals.next() => match told {
                    Told::Stop(_) => break,
                    // What has changed is read when we serve.
                    Told::Reload => {}
                },
            }
        }
        tracing::info!("stopped: nobody needed us");
        Ok(None)
    }

    pub(super) fn is_heir(&self) -> bool {
        matches!(self, Self::Heir(_))
    }

    pub(super) fn seat(&self) -> Option<&Seat> {
        match self {
            Self::Free => None,
            Self::Seated(seat) => Some(seat),
            Self::Heir(inheritance) => Some(&inheritance.seat),
        }
    }

    /// The sockets of the instance before; none without one.
    pub(super) fn sockets(&mut self) -> Inherited {
        match self {
            Self::Heir(inheritance) => Inherited::of(std::mem::take(&mut inheritance.sockets)),
            Self::Free | Self::Seated(_) => Inherited::default(),
        }
    }

    /// A snapshot of the cache of the instance before, if it left one.
    pub(super) fn cache(&mut self) -> Option<File> {
        if let Self::Heir(inheritance) = self { inheritance.cache.take().map(File::from) } else { None }
    }

    /// For when we serve.
    pub(super) async fn accept(&mut self) {
        if let Self::Heir(inheritance) = self {
            inheritance.accept().await;
        }
    }

    /// For when somebody else does.
    pub(super) fn pass_on(self) {
        match self {
            Self::Free => {}
            Self::Seated(seat) => seat.pass_on(),
            Self::Heir(inheritance) => inheritance.seat.pass_on(),
        }
    }

    fn without(error: SeatError) -> Result<Self, StartError> {
        if let SeatError::Taken { .. } = error {
            return Err(StartError::Seat(error));
        }
        tracing::error!("no control socket: {error}");
        Ok(Self::Free)
    }
}

fn path(control: &Control) -> Option<PathBuf> {
    let path = control.path();
    if path.is_none() && *control != Control::Off {
        tracing::warn!("no control socket: there is no usual place for it; write `control` below [admin]");
    }
    path
}
