"""Many videos from one jobs file, on this machine or on a Ray cluster.

Here: reading and planning jobs, the scheduler, its workers, the manifest of finished videos and the reports.
Not here: rendering one video (`render`), its command line (`cli.batch`).
"""
