// A transactional writer that dies after its records have reached the broker and before it commits.
#pragma once

#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>

#include <string>

namespace daicho {

inline void LeaveTransactionOpen(const std::string& broker, const std::string& writer,
                                 const std::string& topic, int records) {
  char why[256];
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", broker.c_str(), why, sizeof why);
  rd_kafka_conf_set(conf, "transactional.id", writer.c_str(), why, sizeof why);
  rd_kafka_t* producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
  ASSERT_NE(producer, nullptr) << why;
  ASSERT_EQ(rd_kafka_init_transactions(producer, 30'000), nullptr);
  ASSERT_EQ(rd_kafka_begin_transaction(producer), nullptr);
  for (int i = 0; i < records; ++i)
    ASSERT_EQ(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(0),
                                RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                RD_KAFKA_V_VALUE(const_cast<char*>("never"), 5), RD_KAFKA_V_END),
              RD_KAFKA_RESP_ERR_NO_ERROR);
  ASSERT_EQ(rd_kafka_flush(producer, 30'000), RD_KAFKA_RESP_ERR_NO_ERROR);
  rd_kafka_destroy(producer);
}

}  // namespace daicho
