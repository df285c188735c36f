\echo Use "CREATE EXTENSION o365_msgtrace" to load this file. \quit
