# The event to send again, of a message of the queue as `aws sqs receive-message` prints it.
# A request means "now", and is sent as a message of the time at which it was first tried, so that services that were
# redeployed since are left alone. The function's report has that time; without one, the record of the failure is the next best.
# Lambda writes that of an event that it gave up on for its age six hours after it was sent.
.Messages[0] as $message
| ($message.Body | fromjson) as $record
| ($record.requestPayload // $record) as $event
| if ($event | type) == "object" and $event.action != null then
    ([$record.responsePayload.errorMessage // "" | scan("\"at\": *\"([^\"]+)\"")[0]] | min) as $reported
    | (if $reported == null and $record.requestContext.condition == "EventAgeExceeded" then 21600 else 0 end) as $age
    | {
        Records: [{
          messageId: $message.MessageId,
          eventSource: "aws:sqs",
          attributes: {
            SentTimestamp: (((($reported // $record.timestamp) | sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601) - $age) * 1000 | tostring)
          },
          body: ($event | tojson)
        }]
      }
  else
    $event
  end
