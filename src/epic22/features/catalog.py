"""The features, each a declared task over canonical tables. A new feature is one module beside this one and one line here."""

from epic22.core.task import Task

FEATURES: tuple[Task, ...] = ()
