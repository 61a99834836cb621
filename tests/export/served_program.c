/* Runs a SavedModel by TensorFlow's C library alone, as a program without Python would.

   served_program FOLDER PLAN [OP_LIBRARY]

   PLAN is read line by line:
     input OPERATION INDEX TYPE FILE DIMENSION...   a tensor to feed, from the bytes in FILE
     output OPERATION INDEX FILE                    a tensor to fetch, written to FILE
     run                                            runs what was named since the last run
   Types are TensorFlow's numbers. Strings are in FILE as 8 bytes of length and the content each.
   Outputs are written as type, rank (4 bytes each), dimensions (8 bytes each) and content. Each
   run prints the seconds that it took. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tensorflow/c/c_api.h>
#include <tensorflow/c/tf_tstring.h>
#include <time.h>

#define MAX_TENSORS 16
#define MAX_TEXT 4096

static TF_Status* status;

static void stop(const char* what, const char* why) {
  fprintf(stderr, "served_program: %s: %s\n", what, why);
  exit(1);
}

static void check(const char* what) {
  if (TF_GetCode(status) != TF_OK) stop(what, TF_Message(status));
}

static FILE* opened(const char* path, const char* mode) {
  FILE* file = fopen(path, mode);
  if (file == NULL) stop(path, "cannot be opened");
  return file;
}

static void must_read(void* target, size_t size, FILE* file, const char* path) {
  if (fread(target, 1, size, file) != size) stop(path, "is too short");
}

static TF_Output found(TF_Graph* graph, const char* name, int index) {
  TF_Output output = {TF_GraphOperationByName(graph, name), index};
  if (output.oper == NULL) stop(name, "no such operation in the graph");
  return output;
}

static TF_Tensor* read_tensor(const char* path, TF_DataType type, const int64_t* shape, int rank) {
  size_t count = 1;
  for (int i = 0; i < rank; ++i) count *= (size_t)shape[i];
  size_t size = type == TF_STRING ? sizeof(TF_TString) : TF_DataTypeSize(type);
  TF_Tensor* tensor = TF_AllocateTensor(type, shape, rank, count * size);
  FILE* file = opened(path, "rb");
  if (type != TF_STRING) {
    must_read(TF_TensorData(tensor), count * size, file, path);
  } else {
    TF_TString* strings = TF_TensorData(tensor);
    for (size_t i = 0; i < count; ++i) {
      uint64_t length;
      must_read(&length, sizeof(length), file, path);
      char* content = malloc(length + 1);
      must_read(content, length, file, path);
      TF_StringInit(&strings[i]);
      TF_StringCopy(&strings[i], content, length);
      free(content);
    }
  }
  fclose(file);
  return tensor;
}

static void write_tensor(const char* path, const TF_Tensor* tensor) {
  FILE* file = opened(path, "wb");
  int32_t header[2] = {TF_TensorType(tensor), TF_NumDims(tensor)};
  fwrite(header, sizeof(header), 1, file);
  for (int i = 0; i < header[1]; ++i) {
    int64_t dimension = TF_Dim(tensor, i);
    fwrite(&dimension, sizeof(dimension), 1, file);
  }
  fwrite(TF_TensorData(tensor), 1, TF_TensorByteSize(tensor), file);
  if (fclose(file) != 0) stop(path, "cannot be written");
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) stop("usage", "served_program FOLDER PLAN [OP_LIBRARY]");
  status = TF_NewStatus();
  if (argc == 4) {
    TF_LoadLibrary(argv[3], status);
    check(argv[3]);
  }
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  const char* tags[] = {"serve"};
  TF_Session* session =
      TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  check(argv[1]);

  TF_Output inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  TF_Tensor *given[MAX_TENSORS], *results[MAX_TENSORS];
  static char targets[MAX_TENSORS][MAX_TEXT];
  int num_inputs = 0, num_outputs = 0;
  static char line[MAX_TEXT], name[MAX_TEXT], path[MAX_TEXT];
  FILE* plan = opened(argv[2], "r");
  while (fgets(line, sizeof(line), plan) != NULL) {
    int index, type, used;
    if (num_inputs == MAX_TENSORS || num_outputs == MAX_TENSORS) stop(line, "too many tensors");
    if (sscanf(line, "input %s %d %d %s%n", name, &index, &type, path, &used) == 4) {
      int64_t shape[8];
      int rank = 0, step;
      for (const char* rest = line + used;
           rank < 8 && sscanf(rest, " %ld%n", &shape[rank], &step) == 1; ++rank)
        rest += step;
      inputs[num_inputs] = found(graph, name, index);
      given[num_inputs++] = read_tensor(path, (TF_DataType)type, shape, rank);
    } else if (sscanf(line, "output %s %d %s", name, &index, targets[num_outputs]) == 3) {
      outputs[num_outputs++] = found(graph, name, index);
    } else if (strcmp(line, "run\n") == 0) {
      double start = now();
      TF_SessionRun(session, NULL, inputs, given, num_inputs, outputs, results, num_outputs, NULL,
                    0, NULL, status);
      check("run");
      printf("%.6f\n", now() - start);
      for (int i = 0; i < num_inputs; ++i) TF_DeleteTensor(given[i]);
      for (int i = 0; i < num_outputs; ++i) {
        write_tensor(targets[i], results[i]);
        TF_DeleteTensor(results[i]);
      }
      num_inputs = num_outputs = 0;
    } else {
      stop(line, "is no line of a plan");
    }
  }
  fclose(plan);
  TF_CloseSession(session, status);
  check("close");
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
