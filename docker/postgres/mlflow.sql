-- Beside Emphasis's own database: each of the two keeps its schema's version in a table of the same name.
CREATE DATABASE mlflow;
