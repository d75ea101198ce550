"""What the console offers under /admin/. Django's own pages for groups go: rights come from roles."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.models import Group

from immune.models import (
    APV,
    Account,
    Advisory,
    ApiToken,
    Delivery,
    Event,
    ForgeJob,
    Remedy,
    ReportJob,
    Repository,
    Scan,
    Suppression,
    Team,
)
from reviews.console import given_up, lists, notices, people, queue, set_aside, work
from reviews.models import Decision, Review
from reviews.notices.models import Notice, NoticeChannel
from wargaming.models import Wargame

admin.site.unregister(Group)
for model, page in {
    Review: queue.ReviewAdmin,
    Decision: lists.DecisionAdmin,
    APV: lists.ApvAdmin,
    Suppression: set_aside.SuppressionAdmin,
    Advisory: lists.AdvisoryAdmin,
    Remedy: lists.RemedyAdmin,
    Wargame: lists.WargameAdmin,
    Repository: work.RepositoryAdmin,
    Scan: work.ScanAdmin,
    ReportJob: work.ReportJobAdmin,
    ForgeJob: work.ForgeJobAdmin,
    Event: work.EventAdmin,
    Delivery: given_up.DeliveryAdmin,
    NoticeChannel: notices.ChannelAdmin,
    Notice: notices.NoticeAdmin,
    Account: people.AccountAdmin,
    Team: people.TeamAdmin,
    ApiToken: people.TokenAdmin,
}.items():
    admin.site.register(model, page)
