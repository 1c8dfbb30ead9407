"""The Schema CMS dialect: projects' data sources, their scripts and jobs, in the words of Django REST framework."""

from gateway.schema_cms.routes import DIALECT

__all__ = ["DIALECT"]
