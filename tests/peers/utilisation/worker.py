"""A worker of one slot whose training only takes time: `worker.py NAME SECONDS < ACCESS.json`.

SECONDS is the mean time of an epoch, and ACCESS.json is what `caviar access --json` prints. Each
time in which the slot trained a job is one line of JSON on standard output, with its begin and end
by CLOCK_MONOTONIC, which all processes of a machine share. The worker ends when it is drained.
"""
import asyncio
import collections
import json
import os
import sys
import time

import grpc
import trials
from caviar.v1 import types_pb2, worker_pb2, worker_pb2_grpc

PROTOCOL = 2
# Seconds until the next attempt to connect.
RETRY = 1


class Job:
    """What a lease is for, from its grant until the coordinator has stored its result."""

    def __init__(self, grant, mean):
        self.lease, self.grant = grant.lease, grant
        self.is_scoring = grant.work == worker_pb2.WORK_SCORE
        self.epochs = grant.fixed.values["epochs"].int
        self.seconds = trials.epoch_seconds(grant.trial, mean)
        self.values = {name: value.float for name, value in grant.assignment.values.items()}
        self.epoch, self.left = 0, self.seconds
        # While it has the slot: since when, the end of the epoch, and the timer for that.
        self.since = self.epoch_end = self.timer = None
        self.has_begun = self.is_parked = False
        # What the coordinator has not acknowledged.
        self.points, self.finished = collections.deque(), None

    def metrics(self):
        loss = trials.validation_loss(self.values, self.epoch, self.epochs)
        score = types_pb2.Score(loss=loss, accuracy=1 / (1 + loss))
        return types_pb2.EpochMetrics(epoch=self.epoch, train=score, validation=score)

    def report(self, points):
        seconds = self.epoch * self.seconds
        return worker_pb2.Report(lease=self.lease, points=points, seconds=seconds)

    def can_train(self):
        return not self.is_parked and not self.finished

    def finish(self):
        last = self.metrics()
        test = last.validation if self.is_scoring else None
        seconds = self.epochs * self.seconds
        self.finished = worker_pb2.Finished(
            lease=self.lease, outcome=types_pb2.OUTCOME_COMPLETED, last=last, test=test,
            seconds=seconds, memory_bytes=1 << 20)


class Worker:
    def __init__(self, name, mean):
        self.name, self.mean = name, mean
        self.incarnation = int.from_bytes(os.urandom(8), "little")
        self.loop = asyncio.get_running_loop()
        self.jobs, self.running = {}, None
        self.store, self.outbox, self.is_draining = None, None, False

    # The connection.

    async def run(self, stub):
        """Connects, and connects again after an error, until the worker is drained."""
        while True:
            try:
                await self.converse(stub.Work())
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                print(f"{self.name}: {error.details()}", file=sys.stderr)
            if self.may_exit():
                return
            await asyncio.sleep(RETRY)

    async def converse(self, call):
        hello = worker_pb2.Hello(
            protocol=PROTOCOL, worker=self.name, incarnation=self.incarnation, slots=1,
            draining=self.is_draining, store=self.store, held=list(self.jobs), can_park=True)
        await call.write(worker_pb2.WorkerMessage(hello=hello))
        welcome = await call.read()
        if welcome is grpc.aio.EOF:
            return
        self.on_welcome(welcome.welcome)
        heartbeat = min(max(welcome.welcome.heartbeat_ms, 10), 3_600_000) / 1000
        tasks = [asyncio.create_task(self.send(call, self.outbox)),
                 asyncio.create_task(self.beat(heartbeat))]
        try:
            while not self.may_exit() and (message := await call.read()) is not grpc.aio.EOF:
                self.on_message(message)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.outbox = None
            self.unpark_all()
        await call.done_writing()

    async def send(self, call, outbox):
        while True:
            await call.write(await outbox.get())

    async def beat(self, interval):
        while True:
            await asyncio.sleep(interval)
            waiting = [job.lease for job in self.jobs.values() if not job.has_begun]
            self.post(heartbeat=worker_pb2.Heartbeat(stuck=0, waiting=waiting))

    def post(self, **kind):
        """Sends a message. Without a connection it is sent on the next one, if it must be."""
        if self.outbox:
            self.outbox.put_nowait(worker_pb2.WorkerMessage(**kind))

    def may_exit(self):
        return self.is_draining and not self.jobs

    # The messages of the coordinator.

    def on_welcome(self, welcome):
        """Forgets the leases of another store, and repeats what is not acknowledged."""
        if self.store not in (None, welcome.store):
            for lease in list(self.jobs):
                self.forget(lease)
        self.store, self.outbox = welcome.store, asyncio.Queue()
        for job in self.jobs.values():
            if job.points:
                self.post(report=job.report(job.points))
            if job.finished:
                self.post(finished=job.finished)

    def on_message(self, message):
        kind = message.WhichOneof("kind")
        content = getattr(message, kind) if kind else None
        match kind:
            case "grant":
                self.on_grant(content)
            case "ack":
                self.on_ack(content)
            case "stop" | "revoke":
                self.forget(content.lease, is_stopped=True)
            case "park":
                self.park(content.lease)
            case "unpark":
                self.unpark(content.lease)
            case "drain":
                self.is_draining = True
                self.unpark_all()
            case _:
                raise ValueError(f"the coordinator sent an unexpected message: {kind}")

    def on_grant(self, grant):
        if self.is_draining:
            drained = worker_pb2.Released(lease=grant.lease, release=worker_pb2.RELEASE_DRAINED)
            self.post(released=drained)
            return
        self.jobs[grant.lease] = Job(grant, self.mean)
        self.fill_slot()

    def on_ack(self, ack):
        job = self.jobs.get(ack.lease)
        if ack.finished:
            self.forget(ack.lease)
        elif job:
            while job.points and job.points[0].epoch <= ack.epoch:
                job.points.popleft()

    def forget(self, lease, is_stopped=False):
        if job := self.jobs.pop(lease, None):
            self.leave_slot(job, time.monotonic(), is_stopped)
            self.fill_slot()

    def park(self, lease):
        if job := self.jobs.get(lease):
            job.is_parked = not self.is_draining
            self.leave_slot(job, time.monotonic())
            self.fill_slot()

    def unpark(self, lease):
        if job := self.jobs.get(lease):
            job.is_parked = False
            self.fill_slot()

    def unpark_all(self):
        for lease in list(self.jobs):
            self.unpark(lease)

    # The slot.

    def fill_slot(self):
        """Gives a free slot to the job that waits for it with the lowest lease."""
        ready = [job for job in self.jobs.values() if job.can_train()]
        if self.running or not ready:
            return
        job = min(ready, key=lambda job: job.lease)
        self.running, job.has_begun, job.since = job, True, time.monotonic()
        job.epoch_end = job.since + job.left
        job.timer = self.loop.call_at(job.epoch_end, self.end_epoch, job)

    def leave_slot(self, job, end, is_stopped=False):
        """Takes the slot from a job, if it has it, and prints the time in which it had it.

        Of a job that is stopped, the time in the epoch that it does not finish is `discarded`.
        """
        if self.running is not job:
            return
        self.running = None
        job.timer.cancel()
        # A timer that is late is not training.
        end = min(end, job.epoch_end)
        job.left = max(job.epoch_end - end, 0)
        in_epoch = min(job.seconds - job.left, end - job.since)
        print(json.dumps({
            "sweep": job.grant.sweep, "trial": job.grant.trial, "scoring": job.is_scoring,
            "begin": job.since, "end": end, "discarded": in_epoch if is_stopped else 0,
        }), flush=True)

    def end_epoch(self, job):
        """Reports an epoch. The next one began when this one should have ended.

        So a timer that is late makes no epoch longer, and the time after the last one is idle.
        """
        job.epoch += 1
        if not job.is_scoring:
            job.points.append(job.metrics())
            self.post(report=job.report([job.points[-1]]))
        if job.epoch < job.epochs:
            job.epoch_end += job.seconds
            job.timer = self.loop.call_at(job.epoch_end, self.end_epoch, job)
            return
        job.finish()
        self.post(finished=job.finished)
        self.leave_slot(job, job.epoch_end)
        self.fill_slot()


def connect(access):
    """A channel to the coordinator, over TLS and with the token."""
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(root_certificates=access["ca"].encode()),
        grpc.access_token_call_credentials(access["token"]))
    options = [("grpc.ssl_target_name_override", access["server_name"])]
    return grpc.aio.secure_channel(access["addresses"][0], credentials, options=options)


async def main():
    name, seconds = sys.argv[1:]
    async with connect(json.load(sys.stdin)) as channel:
        await Worker(name, float(seconds)).run(worker_pb2_grpc.WorkerServiceStub(channel))


asyncio.run(main())
