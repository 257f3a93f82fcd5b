"""Layer 2: the real coroutines - service, controller, permit office, supervisor, worker, scan - on a virtual clock.

Around them are simulated: the bus (`sim_bus.py`), the store (`sim_store.py`), hosts and vault (`sim_targets.py`), and
the processes' lives and deaths (here and in `sim_appliance.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Any, NoReturn

import anyio
import structlog
from anyio.abc import TaskGroup

from appliance.bus import Placed
from appliance.contract import Account, Job, Technology
from appliance.permit import GRACE_S
from appliance.reasons import Status
from appliance.supervisor import END_WAIT_S
from orchestrator.account_state import Budget
from orchestrator.attempts import Repeat, Unplannable
from orchestrator.cancelling import end_all
from orchestrator.controller import RunController
from orchestrator.course import Course, OrderError
from orchestrator.dispatch import Dispatcher, Pace
from orchestrator.purposes import Purposes
from orchestrator.run_plan import ZONE_PATIENCE_S, RunPlan
from orchestrator.run_state import Act, RunState, Standing, left_alone
from orchestrator.service import Service
from orchestrator.shared_room import RoomOf
from orchestrator.stops import Stop
from orchestrator.zones import Zoning
from tests.simulation.coverage import Coverage
from tests.simulation.estate import STOPPABLE, VAULT, Estate, Plan
from tests.simulation.kernel import Violation
from tests.simulation.layer1 import DOWN_S, PATIENCE_S, Result
from tests.simulation.memory import Memory
from tests.simulation.options import Options, draw
from tests.simulation.oracle import Oracle
from tests.simulation.sim_appliance import ZONE, SimHost, Surroundings
from tests.simulation.sim_bus import Faults, SimBroker, SimOrchestrator
from tests.simulation.sim_store import Disk, SimAttempts, SimRemainders, SimRuns, SimStore
from tests.simulation.sim_targets import SimTargets, SimVault
from tests.simulation.virtual_loop import Stuck, run

log = structlog.get_logger()

SEEN = {
    "cut short": "an attempt's deadline strikes, or its process dies, while a host decides",
    "scanner": "a scan process is killed",
    "appliance": "a supervisor is killed, and its scan processes with it",
    "appliances": "all appliances are gone for more than two minutes",
    "orchestrator": "the orchestrator is killed",
    "power-cut": "the orchestrator's machine loses its power",
    "server": "the bus restarts, or is away for longer than a call is tried",
    "leader": "the streams have no leader for a while",
    "wipe": "the bus comes back empty",
    "lost-job": "the bus loses what it had acknowledged",
    "stop": "an operator stops the runs",
    "admin": "somebody stops an account, a secret or the vault, and is told that it holds",
    "allowed": "somebody lifts it again",
    "alone": "a run without appliances stops by itself",
    "resumed": "a run is taken up again",
    "paused": "somebody pauses the runs by hand, and is told so",
    "cancelled": "somebody cancels one",
    "CANCELLED": "an outcome",
    "rotated": "a refused login finds another secret in the vault than it had read",
    "PASSED": "an outcome",
    "PRIV_NO_SUDO": "an outcome",
    "BAD_CREDENTIALS": "an outcome",
    "ACCOUNT_DISABLED": "an outcome",
    "SKIPPED_BREAKER": "an outcome",
    "PORT_CLOSED": "an outcome",
    "SECRET_NOT_FOUND": "an outcome",
    "VAULT_UNREACHABLE": "an outcome",
    "VAULT_TIMEOUT": "an outcome",
    "APPLIANCE_LOST": "an outcome",
    "STOPPED": "an outcome",
    "NO_RECORD": "an outcome",
}
"""What schedules of this layer are for; one that no schedule reaches is not tested."""


class StoredFirst(SimOrchestrator):
    """The orchestrator's bus, which takes no attempt that the store does not know, and none of a run that is paused."""

    def __init__(self, broker: SimBroker, world: World) -> None:
        super().__init__(broker)
        self._world = world

    async def put(self, jobs: Sequence[Job]) -> Sequence[Placed | None]:
        memory = self._world.memory
        for job in jobs:
            stored = memory.jobs.get((job.run, job.job))
            if stored is None or job.attempt not in stored.leases:
                raise Violation(f"{job.job}:{job.attempt} goes on the bus and is not in the store")
            standing = memory.standings.get(job.run, Standing(RunState.QUEUED))
            if standing.state in (RunState.PAUSED, RunState.CANCELLED, RunState.FINISHED):
                raise Violation(f"{job.job}:{job.attempt} goes on the bus, and its run is {standing.text}")
            if job.run in self._world.by_hand and standing.state not in (RunState.PAUSING, RunState.CANCELLING):
                raise Violation(f"{job.job}:{job.attempt} goes on the bus, though its run was paused by hand")
        return await super().put(jobs)


class Stints:
    """As `Stretch` of the command line."""

    def __init__(self, world: World, service: Service, course: Course, plan: Plan) -> None:
        self._world, self._service, self._course, self._plan = world, service, course, plan

    async def stint(self, ready: Callable[[RunController], None]) -> bool:
        return await self._world.execute(self._service, self._course.run, self._plan, ready)

    async def end(self, standing: Standing) -> None:
        world, plan = self._world, self._plan
        remainders = SimRemainders(plan, world.memory, world.disk)
        counts = {cursor: (Technology.UNIX, plan.count(cursor)) for cursor in plan.cursors()}
        await end_all(plan.run, counts, world.attempts, remainders, standing, anyio.current_time())


class World:
    """Made inside the running loop."""

    def __init__(self, options: Options, coverage: Coverage, rng: Random, tasks: TaskGroup) -> None:
        self.options, self.coverage, self.rng, self.tasks = options, coverage, rng, tasks
        self.oracle = Oracle(coverage)
        self.estate = Estate(options, rng)
        self.memory = Memory()
        self.broker = SimBroker(rng, faults=self._faults())
        self.vault = SimVault(self.estate, rng)
        self.targets = SimTargets(self.estate, self.oracle, coverage, rng, tasks)
        around = Surroundings(self.broker, self.targets, self.vault, rng, tasks)
        processes = min(options.capacity, rng.choice((1, 1, 2)))
        self.hosts = [SimHost(f"appliance-{n}", options.capacity, processes, around) for n in range(options.appliances)]
        names = [f"run-{n + 1}" for n in range(options.runs)]
        self.todo = {name: (self.estate.plan(name), n * options.second_run_at) for n, name in enumerate(names)}
        self.controllers: dict[str, RunController] = {}
        self.courses: dict[str, Course] = {}
        """Of the runs that a holder drives."""
        self.by_hand: dict[str, anyio.Event] = {}
        """Runs that somebody was told are paused, until he says `resume`."""
        self.disk: Disk
        self.attempts: SimAttempts
        """Of the orchestrator that lives."""
        self._life = anyio.CancelScope()
        self._alive: tuple[Service, TaskGroup] | None = None
        """The orchestrator, while there is one, and what ends with it."""
        self._powerless = False

    def _faults(self) -> Faults:
        on, rate = self.options.on, self.options.rate
        return Faults(
            latency=3.0 if on("late-report") else 0.05,
            early_redelivery=rate if on("lapsed-lease") else 0.0,
            reorder=0.3,
            lost_ack=rate if on("lost-report") or on("copied-report") else 0.0,
            lost_question=rate if on("lost-question") or on("lost-release") else 0.0,
            lost_answer=rate if on("lost-answer") else 0.0,
        )

    async def live(self) -> None:
        """Until every run is done and everything has calmed down. Raises Violation."""
        for host in self.hosts:
            self.tasks.start_soon(host.live, name=host.name)
        self.tasks.start_soon(self._disasters, name="disasters")
        with anyio.move_on_after(self.options.heal_at + DOWN_S + PATIENCE_S) as patience:
            await self._orchestrate()
        if patience.cancelled_caught:
            raise Violation(f"{list(self.todo)} not done {PATIENCE_S:.0f} s after the healing")
        await anyio.sleep(END_WAIT_S + 2 * DOWN_S)
        if any(host.alive for host in self.hosts) or self.targets.sessions:
            raise Violation("the runs are done, and scan processes or sessions are left")

    # -- the orchestrator --------------------------------------------------------------------------------------------

    async def _orchestrate(self) -> None:
        while self.todo:
            with anyio.CancelScope() as self._life:
                await self._serve()
            self._alive = None
            self.controllers.clear()
            self.courses.clear()
            if self._powerless:
                self.memory.power_cut(self.rng)
                self._powerless = False
            if self.todo:
                await anyio.sleep(self.rng.uniform(0.5, DOWN_S))

    async def _serve(self) -> None:
        sim = SimStore(self.memory, self.oracle, self.rng)
        self.disk = sim.disk
        store = sim.as_store()
        self.attempts = sim.attempts
        service = Service(store, StoredFirst(self.broker, self), anyio.current_time)
        async with anyio.create_task_group() as tasks:
            await tasks.start(service.run, name="service")
            self._alive = (service, tasks)
            async with anyio.create_task_group() as runs:
                for name in self.todo:
                    runs.start_soon(self._run, service, name, name=name)
            await anyio.sleep(self.options.deadline + GRACE_S + 3.0)
            self.oracle.answered()
            tasks.cancel_scope.cancel()

    async def _run(self, service: Service, name: str) -> None:
        plan, begins = self.todo[name]
        await anyio.sleep(max(begins - anyio.current_time(), 0.0))
        self.oracle.began.setdefault(name, anyio.current_time())
        standing = self.memory.standings.get(name, Standing(RunState.QUEUED))  # its end may have been its last word
        if not standing.state.over:
            standing = await self._drive(service, name, plan)
        while not standing.state.over:
            await anyio.sleep(self.rng.uniform(0.5, 5.0))  # till somebody says --resume
            standing = await self._drive(service, name, plan)
        log.info("run is over", run=name, state=standing.text)
        self.controllers.pop(name, None)
        counts = self.memory.counts(name)
        self.oracle.finished(plan.by_job, name, counts, self.memory)
        for (of, job), stored in self.memory.jobs.items():
            if of == name and stored.outcome is not None:
                self.coverage.hit(stored.outcome[1])
                if stored.outcome[1] == "INTERNAL":
                    raise Violation(f"{job} met a bug")
        self.memory.sync()  # the run's end is told to a human: it stays
        del self.todo[name]

    async def _drive(self, service: Service, name: str, plan: Plan) -> Standing:
        """A holder takes the run up, as `run`, `run --resume` or, where it is paused by hand, `resume` does."""
        now = self.memory.standings.get(name, Standing(RunState.QUEUED))
        course = Course(name, left_alone(now, anyio.current_time()), self._rows(), anyio.current_time)
        stints = Stints(self, service, course, plan)
        try:
            await course.order(Act.GO_ON)
        except OrderError:
            if name in self.by_hand:
                await self.by_hand[name].wait()
            if course.standing.state is not RunState.CANCELLING:
                await course.order(Act.RESUME)
        self.courses[name] = course
        try:
            standing = await course.drive(stints)
        finally:
            self.courses.pop(name, None)
        counted = sum(self.memory.counts(name).values())
        if standing.state is RunState.FINISHED and sum(course.progress.by_status.values()) != counted:
            raise Violation(f"run {name} is done, counts {course.progress.by_status}, and has {counted} outcomes")
        return standing

    def _rows(self) -> SimRuns:
        scope = self._life
        return SimRuns(self.memory, self.disk, lambda: not scope.cancel_called)

    async def execute(self, service: Service, name: str, plan: Plan, ready: Callable[[RunController], None]) -> bool:
        """One stint, as `Stretch` does it: of a new run, or of one that goes on."""
        options, budget = self.options, Budget(self.options.budget, self.options.window)
        pace = Pace(options.deadline, options.patience, options.retries, options.per_subnet)
        room = RoomOf(name, service.neighbourhood, pace.per_subnet)
        cursors = self.memory.cursors[name]
        dispatcher = Dispatcher(plan, pace, cursors, self._lease, lambda _: options.budget, room=room)
        if self.memory.cursors[name]:
            self._struck("resumed")
            await service.purge(name, [ZONE])
        for job, stored in self.memory.unfinished(name):
            planned = plan.by_job[job]
            assert not isinstance(planned, Unplannable)
            tried = stored.tried.get(stored.newest, ())
            dispatcher.again(Repeat(planned, stored.newest + 1, anyio.current_time(), tried=tried))

        def budget_of(_account: Account, _record: str) -> Budget:
            return budget

        began = self.oracle.began[name]
        run_plan = RunPlan(
            name,
            Purposes("simulated", name),
            Zoning({ZONE: plan.planned}),
            began,
            plan.planned,
            pace,
            (VAULT,),
            budget_of,
        )

        def ready_with_counts(controller: RunController) -> None:
            controller.counts.update({Status(value): n for value, n in self.memory.counts(name).items()})
            self.controllers[name] = controller
            ready(controller)

        finished = await service.execute(run_plan, dispatcher, controller_ready=ready_with_counts)
        if self.controllers[name].gave_up:
            self._struck("alone")
        return finished

    def _lease(self) -> str:
        return f"{self.rng.getrandbits(64):016x}"

    # -- disasters ---------------------------------------------------------------------------------------------------

    def _struck(self, what: str) -> None:
        self.coverage.hit(what)
        log.info("DISASTER", what=what)

    async def _disasters(self) -> None:
        """Each fault of the world's life that is on strikes a few times before the healing."""
        strikes: dict[str, Callable[[], None]] = {
            "appliance-crash": self._kill_appliance,
            "orchestrator-crash": self._kill_orchestrator,
            "power-cut": self._cut_power,
            "rotation": self.estate.rotate,
            "vault-outage": self._vault_outage,
            "wipe": self._wipe,
            "stop": self._stop,
            "lost-job": self._lose_messages,
            "lost-confirmation": self._stop_server,
            "missed-advisory": self._lose_leader,
        }
        rng, when = self.rng, list[tuple[float, Callable[[], None]]]()
        for fault, strike in strikes.items():
            if self.options.on(fault):
                for _ in range(rng.choice((1, 1, 2, 3))):
                    when.append((rng.uniform(0.0, self.options.heal_at), strike))
        if self.options.admin:
            at = rng.uniform(0.0, self.options.heal_at)
            act = self._lie_in_wait if rng.random() < 0.5 else self._stop_use
            when += [(at, act), (at + rng.uniform(0.5, 30.0), self._allow_use)]
        if self.options.control:
            when += [(rng.uniform(0.0, self.options.heal_at), self._pause) for _ in range(rng.choice((1, 1, 2)))]
            if rng.random() < 0.3:
                when.append((rng.uniform(0.0, 2 * self.options.heal_at), self._cancel))
        for at, strike in sorted(when, key=lambda pair: pair[0]):
            await anyio.sleep(max(at - anyio.current_time(), 0.0))
            strike()
            if strike == self.estate.rotate:
                await anyio.sleep(rng.choice((0.0, 0.5, 5.0)))
                self.estate.tell_vault()
        await anyio.sleep(max(self.options.heal_at - anyio.current_time(), 0.0))
        self.broker.faults = Faults(latency=0.05)

    def _lie_in_wait(self) -> None:
        self.oracle.ambush = self._stop_use

    def _stop_use(self) -> None:
        async def order(service: Service) -> None:
            stop = await service.stops.stop(Stop(self.rng.choice(STOPPABLE), anyio.current_time(), "admin"))
            self.oracle.stopped(stop, anyio.current_time())
            self._struck("admin")

        if self._alive is not None:
            service, tasks = self._alive
            tasks.start_soon(order, service, name="admin")

    def _allow_use(self) -> None:
        async def order(service: Service) -> None:
            self.oracle.allowed()
            if lifted := await service.stops.allow(None):
                self.oracle.lifted(lifted)
                self._struck("allowed")

        if self._alive is not None:
            service, tasks = self._alive
            tasks.start_soon(order, service, name="admin")

    def _kill_appliance(self) -> None:
        victim, kind = self.rng.choice(self.hosts), self.rng.random()
        if kind < 0.1:
            self._struck("appliances")
            for host in self.hosts:
                host.kill(down=ZONE_PATIENCE_S + self.rng.uniform(0.0, 2 * DOWN_S))
        elif kind < 0.5:
            self._struck("appliance")
            victim.kill(down=self.rng.uniform(0.5, DOWN_S))
        elif victim.alive:
            self._struck("scanner")
            victim.kill_scanner()

    def _kill_orchestrator(self) -> None:
        self._struck("orchestrator")
        self._life.cancel()

    def _cut_power(self) -> None:
        self._struck("power-cut")
        self._powerless = True
        self._life.cancel()

    def _vault_outage(self) -> None:
        self.vault.down_until = anyio.current_time() + self.rng.uniform(1.0, 40.0)
        self.vault.hangs = self.rng.random() < 0.5

    def _wipe(self) -> None:
        self._struck("wipe")
        self.broker.wipe()

    def _stop(self) -> None:
        for course in self.courses.values():
            self._struck("stop")
            self._order(course.leave)

    def _order(self, order: Callable[[], Awaitable[object]]) -> None:
        """While there is an orchestrator to give it to; it dies with that."""

        async def give() -> None:
            try:
                await order()
            except OrderError as error:
                log.info("refused", why=str(error))

        if self._alive is not None:
            self._alive[1].start_soon(give, name="order")

    def _pause(self) -> None:
        """By hand; somebody says `resume` later, whoever holds the run by then. Till then nothing of it goes out."""

        async def pause(course: Course) -> None:
            await course.order(Act.PAUSE, by="admin")
            self._struck("paused")
            self.by_hand.setdefault(course.run, anyio.Event())
            self.tasks.start_soon(self._resume_later, course.run, name="resume later")

        for course in self.courses.values():
            self._order(partial(pause, course))

    async def _resume_later(self, run: str) -> None:
        await anyio.sleep(self.rng.uniform(1.0, 60.0))
        if (event := self.by_hand.pop(run, None)) is not None:
            event.set()
        course = self.courses.get(run)
        if course is not None:
            self._order(partial(course.order, Act.RESUME))

    def _cancel(self) -> None:
        if self.courses:
            course = self.courses[self.rng.choice(list(self.courses))]
            self._struck("cancelled")
            self._order(partial(course.order, Act.CANCEL, by="admin"))

    def _lose_messages(self) -> None:
        if self.broker.lose_acknowledged(0.5):
            self._struck("lost-job")

    def _stop_server(self) -> None:
        self._struck("server")
        self.broker.stop(self.rng.uniform(0.5, 40.0))

    def _lose_leader(self) -> None:
        self._struck("leader")
        self.broker.lose_leader()


@contextmanager
def _logs(trace: list[str] | None) -> Iterator[None]:
    """What the coroutines log goes into the trace, or nowhere."""

    def write(_logger: object, _method: str, event: MutableMapping[str, Any]) -> NoReturn:
        assert trace is not None
        about = " ".join(f"{key}={value}" for key, value in event.items() if key != "event")
        trace.append(f"{anyio.current_time():9.3f}  {event['event']} {about}")
        raise structlog.DropEvent

    old = structlog.get_config()
    level = logging.CRITICAL if trace is None else logging.DEBUG
    structlog.configure(processors=[write], wrapper_class=structlog.make_filtering_bound_logger(level))
    try:
        yield
    finally:
        structlog.configure(**old)


def simulate(seed: int, coverage: Coverage, *, traced: bool = False) -> Result:
    """One seed of layer 2."""
    options = draw(seed)
    rng = Random(f"world {seed}")  # noqa: S311 - repeatable on purpose
    broken: list[str] = []
    trace: list[str] | None = [] if traced else None

    async def story() -> float:
        async with anyio.create_task_group() as tasks:
            world = World(options, coverage, rng, tasks)
            try:
                await world.live()
            finally:
                broken.extend(world.targets.broken)
            tasks.cancel_scope.cancel()
        return anyio.current_time()

    virtual, steps = 0.0, 0
    try:
        with _logs(trace):
            virtual, loop = run(story, rng)
        steps = loop.steps
    except* Exception as errors:  # noqa: BLE001 - a broken promise, or a bug of any kind: its seed is to be told
        first = _first(errors)
        broken.append(str(first) if isinstance(first, Violation | Stuck) else repr(first))
    return Result(seed, broken[0] if broken else "", steps, virtual, tuple(trace or ()))


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
