from pipeline.worked import bert, rows_csv, trained

__all__ = ["bert", "rows_csv", "trained"]
