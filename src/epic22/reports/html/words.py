"""What the words of a page mean, in plain language: a page explains at its end those that occur in it."""

import re
from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    "accuracy": "the share of cases that were called right; of rare events 'never' is nearly always right",
    "adverse impact ratio": "how often a group is treated well, as a share of the best treated group's; below 0.8 is too low",
    "average_precision": "how far up the ranking those stand to whom it happened; 1 is perfect, a random order has their share",
    "balanced_accuracy": "the share that was called right, averaged over what happened and what did not; 0.5 is guessing",
    "brier skill": "how much better probabilities are than the same one for everybody: 0 is no better, 1 is perfect",
    "brier_score": "how far probabilities are from what happened; lower is better",
    "calibration": "whether of the cases with a stated probability of 10 % really 10 % come true, and so for all others",
    "challenger": "a version that is stored and does not answer, since it was not shown to be as good as the one that does",
    "champion": "the model that was chosen; where nothing else is said, it is the one that answers",
    "cluster": "rows that belong together, as those of one tenant: they count as one where certainty is measured",
    "constant": "the simplest rule: the same answer for everybody, which is what doing nothing comes to",
    "contribution": "what a column adds to the score of a row, or takes off it",
    "coverage": "the share of outcomes that lie inside the stated intervals or sets",
    "cutoff": "the moment of a prediction: only what was known by then is used",
    "the drift": "the rule by which the last cycle's change comes again; forecasts are measured from it",
    "entity": "whom or what a row is about: a lease, a machine, a property, a zip code with a number of bedrooms",
    "expected calibration error": "how far stated probabilities are on average from what happened; 0 is best",
    "f1": "one figure of precision and recall together; 1 is perfect",
    "fold": "one test: the model learns from a part of the rows and answers for another that it has not seen",
    "gap": "days left out between what a model learns from and what it is tested on, since outcomes become known late",
    "gate": "a condition that a model must meet before it may answer",
    "h": "how many periods ahead",
    "Holm's correction": "a stricter rule for what is called certain, since several differences are looked at together",
    "horizon": "how far ahead is looked",
    "incumbent": "the rule that is used today, without a model",
    "interval score": "how wide intervals are and how often they miss, in one figure; lower is better",
    "jackknife": "a part of the rows is left out in turn: how much a figure changes by that is how uncertain it is",
    "ks_statistic": "the most by which those to whom it happened lie above a score more often than the others; 1 is perfect",
    "log-odds": "the scale on which reasons add up: above 0 more likely than not, below 0 less",
    "log_loss": "how far probabilities are from what happened, sure mistakes counting most; lower is better",
    "MAPE": "the average error in percent of the true value; lower is better",
    "MASE": "the average error, where the error of repeating the last cycle is 1; lower is better",
    "matthews_corrcoef": "how far calls and outcomes agree: 0 is guessing, 1 is perfect",
    "mean_absolute_error": "the average error, in the value's own unit; lower is better",
    "mean_absolute_percentage_error": "the average error in percent of the true value; lower is better",
    "mean_pinball_loss": "the error of a stated quantile, such as the value that nine in ten stay below; lower is better",
    "mean_poisson_deviance": "the error of predicted counts; lower is better",
    "mean_tweedie_deviance": "the error of predicted sums, most of which are zero; lower is better",
    "median_absolute_error": "the error that half of the cases stay below, in the value's own unit; lower is better",
    "median_absolute_percentage_error": "the error in percent that half of the cases stay below; lower is better",
    "odds": "how likely something is beside its not happening: 1 to 4 is a probability of 20 %",
    "origin": "the moment from which a forecast looks ahead",
    "out of fold": "answered by a model that had not seen the case",
    "p": "how likely so large a difference would be by luck alone",
    "parent": "the data version that a version was made from",
    "permuted": "the values of a column shuffled among the rows: what then gets worse is what the column was worth",
    "pinball": "the error of the whole range that is forecast, not of its middle alone; lower is better",
    "precision": "of those who were named, the share to whom it happened",
    "prediction set": "the outcomes that are possible for a case; with one name the model is sure",
    "provisional": "it answers, but the data is too little to be sure that it is better than doing nothing",
    "PSI": "how far apart two distributions lie: 0 is not at all, above 0.2 is much",
    "quarantine": "where rows are set apart that break a rule of their table, with the reason",
    "r2": "how much of the differences between cases is predicted: 0 is nothing, 1 is all",
    "recall": "of those to whom it happened, the share that was named",
    "RMSSE": "like MASE, but large errors count more; lower is better",
    "roc_auc": "how often of two cases the one in which it happened is ranked higher: 0.5 is guessing, 1 is perfect",
    "root_mean_squared_error": "the typical error, in the value's own unit, large ones counting most; lower is better",
    "root_mean_squared_log_error": "the typical error as a share of the value; lower is better",
    "rule of today": "how it is decided now, without a model",
    "SHAP": "a way to divide a score among the columns so that their parts add up to it",
    "skill": "how much smaller the error is than the drift's, by which the last cycle's change comes again; 1 is perfect",
    "top_decile_lift": "how many times as often it happened among the tenth ranked highest as among all; 1 is a random order",
    "95 % interval": "where the figure would mostly lie, were it measured again on other rows of the same kind",
}
"""By the word as pages write it; those of metrics are complete, by a test."""


def find_words(page: str) -> list[tuple[str, str]]:
    """The words that occur in what a page shows, each with its meaning, in the order of `WORDS`; of a longer one no part."""
    shown = re.sub(r"(?s)<style\b.*?</style>|<wbr>", "", page)
    text, occurring = re.sub(r"<[^>]*>", " ", shown), set()
    for word in sorted(WORDS, key=len, reverse=True):
        text, count = _build_pattern(word).subn(" ", text)
        if count:
            occurring.add(word)
    return [(word, meaning) for word, meaning in WORDS.items() if word in occurring]


def _build_pattern(word: str) -> re.Pattern[str]:
    """A pattern for a word, also as a plural and with hyphens between its parts; for one of a letter or two as it is."""
    if len(word) < 3:
        return re.compile(rf"(?<![\w-]){word}(?![\w-])")
    parts = r"[-\s]".join(map(re.escape, re.split(r"[-\s]", word)))
    return re.compile(rf"(?<![\w-]){parts}s?(?![\w-])", re.IGNORECASE)
