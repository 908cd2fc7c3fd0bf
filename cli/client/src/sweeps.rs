//! Requests about sweeps: the methods of the typed client.

use caviar_common::blob::Blob;
use caviar_common::spec::SweepSpec;
use caviar_common::view::{ImportanceView, SweepView};
use caviar_proto::convert::artifacts::encode_blob;
use caviar_proto::convert::spec::encode_spec;
use caviar_proto::convert::view::{decode_importance, decode_sweep};
use caviar_proto::v1;

use crate::client::{Client, PAGE_SIZE};
use crate::error::{Error, Request};
use crate::stream::{Replies, SweepChanges};

/// What else a request to create a sweep says.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// The number of slots, 1 to 65,536, from which `parallelism = "auto"` is resolved, for workers
    /// that connect later. `None` for the slots that are connected.
    pub for_slots: Option<u32>,
    /// The data, uploaded as a block. The coordinator does not read the data at its path then, and
    /// the workers need not.
    pub block: Option<Blob>,
}

impl Client {
    /// Starts a sweep and returns it as it begins.
    ///
    /// `request_id` is a name that the caller makes up: 1 to 64 ASCII letters, digits, `-`, `_` or
    /// `.`, starting with a letter or a digit. A request that is sent again with the same id, for
    /// example because the reply was lost, returns the sweep that the first one started.
    ///
    /// The coordinator reads the sweep's data before it replies. Paths in `spec` are paths on its
    /// machine.
    ///
    /// # Errors
    /// [`Error::Invalid`] names every field of `spec` that is wrong. A taken
    /// name is an [`Error::Refused`] of the class `Exists`.
    pub fn create_sweep<'a>(
        &'a self,
        request_id: &'a str,
        spec: &'a SweepSpec,
    ) -> Request<'a, SweepView> {
        Box::pin(self.create(request_id, spec, CreateOptions::default()))
    }

    /// Like [`Client::create_sweep`], with options.
    ///
    /// # Errors
    /// Those of [`Client::create_sweep`], or the coordinator does not have the block, or the number
    /// of slots is given next to a parallelism of the spec's own.
    pub fn create_sweep_with<'a>(
        &'a self,
        request_id: &'a str,
        spec: &'a SweepSpec,
        options: CreateOptions,
    ) -> Request<'a, SweepView> {
        Box::pin(self.create(request_id, spec, options))
    }

    async fn create(
        &self,
        request_id: &str,
        spec: &SweepSpec,
        options: CreateOptions,
    ) -> Result<SweepView, Error> {
        let request = v1::CreateSweepRequest {
            request_id: request_id.to_owned(),
            spec: Some(encode_spec(spec)),
            for_slots: options.for_slots,
            block: options.block.as_ref().map(encode_blob),
        };
        self.decoded(self.sweeps.clone().create_sweep(request).await, decode_sweep)
    }

    /// One sweep as it is now.
    ///
    /// # Errors
    /// The sweep does not exist, or the request failed.
    pub fn sweep<'a>(&'a self, sweep: &'a str) -> Request<'a, SweepView> {
        Box::pin(async move {
            let request = v1::GetSweepRequest { sweep: sweep.to_owned() };
            self.decoded(self.sweeps.clone().get_sweep(request).await, decode_sweep)
        })
    }

    /// All sweeps, in the order in which they were created.
    ///
    /// # Errors
    /// The request failed.
    pub fn list_sweeps(&self) -> Request<'_, Vec<SweepView>> {
        Box::pin(async move {
            let mut sweeps = Vec::new();
            let mut page_token = String::new();
            loop {
                let request =
                    v1::ListSweepsRequest { page_size: PAGE_SIZE, page_token, states: Vec::new() };
                let page = self.reply(self.sweeps.clone().list_sweeps(request).await)?;
                for wire in page.sweeps {
                    sweeps.push(decode_sweep(wire).map_err(|problem| self.unreadable(problem))?);
                }
                if page.next_page_token.is_empty() {
                    return Ok(sweeps);
                }
                page_token = page.next_page_token;
            }
        })
    }

    /// The sweep as it is now, and again after its changes, until it is completed or cancelled.
    /// Changes that follow each other within 100 ms arrive as one.
    ///
    /// ```
    /// # use caviar_client::Client;
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let server = caviar_coordinator::start(caviar_coordinator::ServerConfig {
    /// #     listen: "127.0.0.1:0".parse()?,
    /// #     store: folder.path().join("caviar.db"),
    /// #     core: caviar_core::input::Config::default(),
    /// #     ticks: true,
    /// #     security: caviar_coordinator::Security::Plain,
    /// # })
    /// # .await?;
    /// # let target = caviar_client::Target::plain(&server.url())?;
    /// # let client = Client::connect(&caviar_client::Dialer::new(target, None)?).await?;
    /// # let text = "name = \"digits\"\n[data]\nsource = \"builtin:digits\"\n[search]\ntrials = 2";
    /// # let sweep = caviar_client::caviar_common::spec::file::parse(text)?;
    /// # client.create_sweep("request", &sweep.spec).await?;
    /// # client.cancel_sweep("digits").await?;
    /// let mut changes = client.watch_sweep("digits").await?;
    /// while let Some(sweep) = changes.next().await? {
    ///     println!("{} trials of {} are finished", sweep.counts.finished(), sweep.name);
    /// }
    /// # drop((changes, client));
    /// # server.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The sweep does not exist, or the request failed.
    pub fn watch_sweep<'a>(&'a self, sweep: &'a str) -> Request<'a, SweepChanges> {
        Box::pin(async move {
            let request = v1::WatchSweepRequest { sweep: sweep.to_owned() };
            let stream = self.reply(self.sweeps.clone().watch_sweep(request).await)?;
            Ok(Replies::new(stream, decode_sweep, self.url()))
        })
    }

    /// Starts no more trials of a sweep; running trials continue.
    ///
    /// # Errors
    /// The sweep does not exist or has ended, or the request failed.
    pub fn pause_sweep<'a>(&'a self, sweep: &'a str) -> Request<'a, SweepView> {
        Box::pin(async move {
            let request = v1::PauseSweepRequest { sweep: sweep.to_owned() };
            self.decoded(self.sweeps.clone().pause_sweep(request).await, decode_sweep)
        })
    }

    /// Continues a paused sweep.
    ///
    /// # Errors
    /// The sweep does not exist or has ended, or the request failed.
    pub fn resume_sweep<'a>(&'a self, sweep: &'a str) -> Request<'a, SweepView> {
        Box::pin(async move {
            let request = v1::ResumeSweepRequest { sweep: sweep.to_owned() };
            self.decoded(self.sweeps.clone().resume_sweep(request).await, decode_sweep)
        })
    }

    /// Changes how many trials of a sweep are in flight, from its next decision on. Trials in
    /// flight stay.
    ///
    /// # Errors
    /// The number is not from 1 to 65,536 or would change nothing, the sweep does not exist or has
    /// ended, or the request failed.
    pub fn resize_sweep<'a>(&'a self, sweep: &'a str, parallelism: u32) -> Request<'a, SweepView> {
        Box::pin(async move {
            let request = v1::ResizeSweepRequest { sweep: sweep.to_owned(), parallelism };
            self.decoded(self.sweeps.clone().resize_sweep(request).await, decode_sweep)
        })
    }

    /// Adds trials to a sweep. A completed one continues. `request_id` is a name that the caller
    /// makes up, as for [`create_sweep`](Self::create_sweep); a repeated request adds nothing.
    ///
    /// # Errors
    /// The sweep does not exist, would have too many trials or is cancelled, or the request failed.
    pub fn extend_sweep<'a>(
        &'a self,
        sweep: &'a str,
        request_id: &'a str,
        trials: u32,
    ) -> Request<'a, SweepView> {
        Box::pin(async move {
            let (sweep, request_id) = (sweep.to_owned(), request_id.to_owned());
            let request = v1::ExtendSweepRequest { sweep, request_id, trials };
            self.decoded(self.sweeps.clone().extend_sweep(request).await, decode_sweep)
        })
    }

    /// Ends a sweep: its running trials stop, its results stay.
    ///
    /// # Errors
    /// The sweep does not exist or is completed, or the request failed.
    pub fn cancel_sweep<'a>(&'a self, sweep: &'a str) -> Request<'a, SweepView> {
        Box::pin(async move {
            let request = v1::CancelSweepRequest { sweep: sweep.to_owned() };
            self.decoded(self.sweeps.clone().cancel_sweep(request).await, decode_sweep)
        })
    }

    /// Removes a completed or cancelled sweep with all its results.
    ///
    /// # Errors
    /// The sweep does not exist or has not ended, or the request failed.
    pub fn delete_sweep<'a>(&'a self, sweep: &'a str) -> Request<'a, ()> {
        Box::pin(async move {
            let request = v1::DeleteSweepRequest { sweep: sweep.to_owned() };
            self.reply(self.sweeps.clone().delete_sweep(request).await).map(|_| ())
        })
    }

    /// How much each hyperparameter of a sweep contributes to the variance of the objective. The
    /// coordinator learns it from the results so far, which takes it up to a few seconds.
    ///
    /// # Errors
    /// The sweep does not exist or has too few results, or the request failed.
    pub fn importance<'a>(&'a self, sweep: &'a str) -> Request<'a, ImportanceView> {
        Box::pin(async move {
            let request = v1::GetImportanceRequest { sweep: sweep.to_owned() };
            self.decoded(self.sweeps.clone().get_importance(request).await, decode_importance)
        })
    }
}
