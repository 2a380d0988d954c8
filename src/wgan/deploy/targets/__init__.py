"""Artifacts laid out for places that are not Python on a server: a browser, Triton, AWS Lambda.

Each module has one ``layout(artifact, out)``, which fills a folder.
"""
