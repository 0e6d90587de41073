"""`BookEnv` and `BookVectorEnv`: accounts in a book market, as Gymnasium environments."""

from envs.book.batch import BookBatch
from envs.book.config import BookConfig
from envs.book.market import BookMarket
from envs.env import ScalpingEnv
from envs.vector_env import ScalpingVectorEnv


class BookEnv(ScalpingEnv):
    """`ScalpingEnv` over recorded trades and books, with a decision at the end of each step (docs/book.md).

    Observation, action, reward, ends of episodes and infos are those of `ScalpingEnv`, a step standing for a bar.
    """

    batch_type = BookBatch

    def __init__(self, market: BookMarket, config: BookConfig | None = None, render_mode: str | None = None) -> None:
        """Raises InputError as `BookBatch` does."""
        super().__init__(market, config or BookConfig(), render_mode)


class BookVectorEnv(ScalpingVectorEnv):
    """`ScalpingVectorEnv` over one or more book markets; lane i trades market i mod M."""

    batch_type = BookBatch

    def __init__(self, num_envs: int, market: BookMarket | list[BookMarket], config: BookConfig | None = None) -> None:
        """Raises InputError as `BookBatch` and `ScalpingVectorEnv` do."""
        super().__init__(num_envs, market, config or BookConfig())
