-- Beside Emphasis's own database: each of the two makes its tables, upgrades them and is restored by itself.
CREATE DATABASE mlflow;
