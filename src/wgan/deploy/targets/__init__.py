"""Artifacts packaged for a browser, for Triton and for AWS Lambda.

Each target module has one function ``layout(artifact, out)``, which fills a folder.
"""
