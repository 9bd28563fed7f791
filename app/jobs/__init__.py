"""Many objects by one command: a table of jobs, workers that carry them out, and a page that shows what came of them.

table.py     the file's rows                      checking.py   rows into jobs, all of them checked
folder.py    a job's folder: the only truth       results.py    results.jsonl, results.csv
worker.py    carries out one job after another    index.py      index.html
driver.py    who does what, and what then         local.py, cluster.py   workers here, or on a Ray cluster
"""
