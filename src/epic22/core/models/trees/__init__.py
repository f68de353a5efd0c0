"""Tree ensembles: exact scores and SHAP values, early stopping, trees of other libraries."""
