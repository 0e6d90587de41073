"""The exchange's archive site: zipped CSV of months and days, each beside its CHECKSUM file."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass, field

from tests.emulator.core import Listing, Reply

ARCHIVE_HOST = "data.binance.vision"


@dataclass
class ArchiveSite:
    """Paths to bytes; `put_bars` and `put_trades` add a file and its checksum."""

    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    failures: dict[str, list[int]] = field(default_factory=dict)
    """Statuses to answer first, by path."""

    def respond(self, path: str) -> Reply:
        """The reply to a GET."""
        self.requests.append(path)
        if self.failures.get(path):
            return Reply(self.failures[path].pop(0), b"later")
        body = self.files.get(path)
        return Reply(404, b"<Error><Code>NoSuchKey</Code></Error>") if body is None else Reply(200, body)

    def put(self, path: str, name: str, text: bytes) -> None:
        """Zip `text` as `name`.csv at `path` and write the checksum as the exchange does."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(f"{name}.csv", text)
        self.files[path] = buffer.getvalue()
        digest = hashlib.sha256(buffer.getvalue()).hexdigest()
        self.files[f"{path}.CHECKSUM"] = f"{digest}  {name}.zip\n".encode()

    def put_bars(
        self,
        entry: Listing,
        interval: str,
        label: str,
        start_ms: int,
        stop_ms: int,
        *,
        header: bool = False,
        microseconds: bool = False,
    ) -> str:
        """Publish the bars of a month ('2024-01') or a day ('2024-01-05'); returns the path."""
        span = "monthly" if len(label) == 7 else "daily"
        root = "/data/spot" if entry.contract == "spot" else "/data/futures/um"
        name = f"{entry.key}-{interval}-{label}"
        path = f"{root}/{span}/klines/{entry.key}/{interval}/{name}.zip"
        self.put(path, name, entry.source.csv(start_ms, stop_ms, header=header, microseconds=microseconds))
        return path

    def put_trades(self, entry: Listing, label: str, rows: list[str], *, header: bool = False) -> str:
        """Publish aggregate trades given as CSV lines."""
        root = "/data/spot" if entry.contract == "spot" else "/data/futures/um"
        name = f"{entry.key}-aggTrades-{label}"
        path = f"{root}/daily/aggTrades/{entry.key}/{name}.zip"
        columns = ["agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"]
        self.put(path, name, ("\n".join((columns if header else []) + rows) + "\n").encode())
        return path
